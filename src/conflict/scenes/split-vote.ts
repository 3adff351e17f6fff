/**
 * The votes are divided: the last storage node hears of the first writer's proposals late, so that it accepts those of the last
 * writer, while the others have accepted the first writer's. Nobody has enough votes; the primary has to be asked.
 */
import { askSupervisor } from '../../control/client.js';
import { SCHEMA } from '../tables.js';
import { together } from './pairs.js';
import { everywhere, inWords, prepare, type Scene } from './scene.js';

const TABLE = `${SCHEMA}.split`;
/** Longer than the way of the other proposal, also on a machine at its limit; and so short that nobody thinks the node dead. */
const [LATE_MS, LATEST_MS] = [150, 1_200];
const AT_MOST_MS = 30_000;
/** Each round may still be decided before the other proposal is there: more of them, until one vote was split. */
const ROUNDS = 5;
const AT_MOST_ROUNDS = 40;

export const splitVote: Scene = async (context) => {
  await prepare(context, [`insert into ${TABLE} values (1, 0) on conflict (id) do update set n = 0`], {
    sql: `select n from ${TABLE} where id = 1`,
    equals: '0',
  });
  const hold = (delayMs: number): Promise<unknown> =>
    askSupervisor(context.instance, 'holdBack', { writer: 1, delayMs, forMs: AT_MOST_MS });
  const write = { sql: `update ${TABLE} set n = n + 1 where id = 1` };
  let acknowledged = 0;
  let rounds = 0;
  const splitBefore = context.splitVotes();
  const isEnough = (): boolean =>
    rounds >= AT_MOST_ROUNDS || (rounds >= ROUNDS && context.splitVotes() > splitBefore);
  let lateMs = LATE_MS;
  try {
    for (; !isEnough() && !context.signal.aborted; rounds++) {
      if (rounds > 0 && rounds % ROUNDS === 0) lateMs = Math.min(2 * lateMs, LATEST_MS);
      await hold(lateMs);
      const before = String(acknowledged);
      await everywhere(context, `select n from ${TABLE} where id = 1`, before);
      const ends = await together(context, [write], [write]);
      acknowledged += ends.filter(({ outcome }) => outcome === 'committed').length;
    }
  } finally {
    await hold(0);
  }
  const found = await everywhere(context, `select n from ${TABLE} where id = 1`, String(acknowledged));
  return {
    about: `two clients on two writers write one row ${rounds} times; one storage node hears of the first writer's ${lateMs} ms late`,
    expected: `${acknowledged} acknowledged, so ${acknowledged}`,
    found: inWords(context, found),
    ok: found.every((one) => one === String(acknowledged)),
    lost: Math.max(0, acknowledged - Math.min(...found.map(Number))),
  };
};
