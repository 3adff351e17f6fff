/** What a writer does about an entry that its engine does not take at once: an engine of which only the answers are there. */
import pg from 'pg';
import { expect, it } from 'vitest';
import { lsn, type Proposal } from '../../../src/multiwriter/protocol/index.js';
import { type Connect, EngineLink } from '../../../src/multiwriter/writer/engine-link.js';
import { eventually } from '../../support/clients.js';

/** A connection that answers `dbproxy.apply` by `apply`, and all else with nothing. */
const connectingTo =
  (apply: () => Promise<unknown[]>): Connect =>
  () =>
    Promise.resolve({
      query: async (sql: string) => ({ rows: sql.includes('dbproxy.apply(') ? await apply() : [] }),
      on: () => undefined,
      once: () => undefined,
      end: () => Promise.resolve(),
    } as unknown as Awaited<ReturnType<Connect>>);

const failing = (code: string): Error => Object.assign(new pg.DatabaseError('said so', 0, 'error'), { code });
const entry = { lsn: lsn(16_385), payload: '[]', base: {} } as unknown as Proposal;

function linkTo(apply: () => Promise<unknown[]>) {
  const told: string[] = [];
  const link = new EngineLink(1, {
    applied: () => void told.push('applied'),
    blocked: () => undefined,
    diverged: (reason) => void told.push(reason),
    ready: () => undefined,
    lost: () => undefined,
  });
  return { link, told, attach: () => link.attach(connectingTo(apply)) };
}

it('a full disk: it tries again, can be paused meanwhile, and goes on', async () => {
  let tries = 0;
  let isFull = true;
  const { link, told, attach } = linkTo(() => {
    tries++;
    return isFull ? Promise.reject(failing('53100')) : Promise.resolve([{ is_new: true }]);
  });
  await attach();
  link.enqueue(entry);
  await eventually('another try', () => Promise.resolve(tries > 2 || null));
  await link.pause();
  const paused = tries;
  isFull = false;
  expect(told).toEqual([]);
  link.resume();
  await eventually('it to be applied', () => Promise.resolve(told.length > 0 || null));
  expect([told, tries, link.queued]).toEqual([['applied'], paused + 1, 0]);
  link.close();
});

it('what cannot be applied: it says so, and no more is applied', async () => {
  let tries = 0;
  const { link, told, attach } = linkTo(() => {
    tries++;
    return Promise.reject(failing('P0001'));
  });
  await attach();
  link.enqueue(entry);
  link.enqueue({ ...entry, lsn: lsn(16_386) });
  await eventually('it to be told', () => Promise.resolve(told.length > 0 || null));
  expect(told).toEqual([expect.stringContaining('said so')]);
  expect([tries, link.queued]).toEqual([1, 2]);
  link.close();
});
