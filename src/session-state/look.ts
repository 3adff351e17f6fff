/**
 * Reads the state of a session from its own backend, at a safe point. All kinds are read in the same round trips: each
 * round is one Query in a transaction that is rolled back, so that nothing we do stays. The unnamed statement is destroyed
 * by it; whoever lets the session go on restores it (replay.ts, restoreUnnamed).
 */
import { encode } from '../protocol/index.js';
import { AS_LOGIN_USER, describeCursor, readAllExactly, readExactly } from './exact.js';
import type { Rows, StateChannel } from './channel.js';
import { kindNames, kinds, type KindName, type SessionState } from './kinds.js';
import { keepingLast, type Ask, type ReadContext, type StateKindModule } from './kind.js';

// Not the session's default: DEFERRABLE would wait, and serializable is refused on a standby.
/** Bound of waiting for one lock, ms. */
const LOCK_TIMEOUT_MS = 100;
const BEGIN = 'begin isolation level read committed not deferrable';
/**
 * The session's own limits are not for us. What others have locked is not waited for as long as they like: the client of the
 * session waits meanwhile. After the settings, which are read as the session has them.
 */
/* eslint-disable dbproxy/sql-quoting -- two names, in the line above */
const unlimited = keepingLast(
  (settableNames) =>
    ['statement_timeout', 'transaction_timeout']
      .filter((name) => settableNames.includes(`"${name}"`))
      .map((name) => `set local ${name} = 0; `)
      .join('') + `set local lock_timeout = ${LOCK_TIMEOUT_MS}`,
);
/* eslint-enable dbproxy/sql-quoting */
/** These change search_path within the transaction, so they are read at the end. */
const lastOnes: readonly KindName[] = ['sequences', 'heldCursors'];
const inOrder = kindNames.toSorted((a, b) => Number(lastOnes.includes(a)) - Number(lastOnes.includes(b)));

export class LookError extends Error {
  override readonly name = 'LookError';
}

interface Reading {
  readonly name: KindName;
  readonly steps: Generator<Ask, unknown, Rows>;
  ask: Ask | null;
  state: unknown;
}

/** The state now. `previous`: what the last look found (makes it cheaper). Throws LookError when a read fails. */
export const look = async (
  channel: StateChannel,
  context: ReadContext,
  previous: SessionState | null,
): Promise<SessionState> => {
  const readings = inOrder.map((name) => start(name, context, previous));
  const limits = unlimited(context.settableNames);
  for (let round = 0; readings.some(({ ask }) => ask !== null); round++)
    await answer(channel, readings, limits, round > 0);
  return Object.fromEntries(readings.map(({ name, state }) => [name, state])) as unknown as SessionState;
};

const start = (name: KindName, context: ReadContext, previous: SessionState | null): Reading => {
  const module = kinds[name] as StateKindModule<unknown>;
  const reading: Reading = {
    name,
    steps: module.read(context, previous?.[name] ?? null),
    ask: null,
    state: null,
  };
  advance(reading, []);
  return reading;
};

const advance = (reading: Reading, rows: Rows): void => {
  const next = reading.steps.next(rows);
  reading.ask = next.done ? null : next.value;
  if (next.done) reading.state = next.value;
};

/** One round: all scalars in one SELECT, then the other questions. */
const answer = async (
  channel: StateChannel,
  readings: readonly Reading[],
  limits: string,
  asUser: boolean,
): Promise<void> => {
  const scalars = readings.flatMap((reading) =>
    reading.ask && 'select' in reading.ask ? [{ reading, expressions: reading.ask.select }] : [],
  );
  const others = readings.flatMap((reading) =>
    reading.ask && 'sql' in reading.ask ? [{ reading, sql: reading.ask.sql }] : [],
  );
  const settings = others.filter(({ reading: { name } }) => name === 'settings');
  const rest = others.filter(({ reading: { name } }) => name !== 'settings');
  const alone = readings.filter(
    ({ ask }) => ask && ('describe' in ask || 'exact' in ask || 'exactly' in ask || 'committed' in ask),
  );
  const list = scalars.flatMap(({ expressions }) => expressions).join(', ');
  // eslint-disable-next-line dbproxy/sql-quoting -- expressions of the kinds, who are looked at themselves
  const scalar = list === '' ? [] : [`select ${list}`];
  const together = scalars.length + others.length > 0;
  const sets = !together
    ? []
    : await run(channel, [
        BEGIN,
        // What only that user may see; the role itself was read in the first round.
        ...(asUser ? [AS_LOGIN_USER] : []),
        // The settings' own question of the first round is a scalar; the scalars of later ones can take long.
        ...(asUser ? [] : scalar),
        ...settings.map(({ sql }) => sql),
        limits,
        ...(asUser ? scalar : []),
        ...rest.map(({ sql }) => sql),
        'rollback',
      ]);
  const queue = [...sets];
  const told = (asked: readonly { reading: Reading }[]): void => {
    for (const { reading } of asked) advance(reading, queue.shift() ?? []);
  };
  if (asUser) told(settings);
  const row = list === '' ? [] : [...(queue.shift()?.[0] ?? [])];
  for (const { reading, expressions } of scalars) advance(reading, [row.splice(0, expressions.length)]);
  told(asUser ? rest : [...settings, ...rest]);
  for (const reading of alone) advance(reading, await answerAlone(channel, reading.ask));
};

const answerAlone = async (channel: StateChannel, ask: Ask | null): Promise<Rows> => {
  if (ask && 'describe' in ask) return describeCursor(channel, ask.describe);
  if (ask && 'exact' in ask) return readExactly(channel, ask.exact);
  if (ask && 'exactly' in ask) return readAllExactly(channel, ask.exactly);
  if (ask && 'committed' in ask) return (await run(channel, ask.committed)).flat();
  return [];
};

const run = async (channel: StateChannel, statements: readonly string[]): Promise<readonly Rows[]> => {
  const [reply] = await channel.exchange(encode.query(statements.join(';')), 1);
  if (!reply?.error) return reply?.sets ?? [];
  if (reply.status !== 'I') await channel.exchange(encode.query('rollback'), 1);
  throw new LookError(`${reply.error.message} (${reply.error.sqlstate})`);
};
