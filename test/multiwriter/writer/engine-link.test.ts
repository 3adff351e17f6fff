/** What a writer does about an entry that its engine does not take at once: an engine of which only the answers are there. */
import pg, { type Submittable } from 'pg';
import { expect, it } from 'vitest';
import { type Lsn, lsn, type Proposal } from '../../../src/multiwriter/protocol/index.js';
import { type Connect, EngineLink } from '../../../src/multiwriter/writer/engine-link.js';
import { eventually } from '../../support/clients.js';

/** A connection that answers `dbproxy.apply` by `apply`, notes what is applied together, and answers all else with nothing. */
const connectingTo =
  (apply: () => Promise<unknown[]>, together: string[]): Connect =>
  () =>
    Promise.resolve({
      query: async (query: string | (Submittable & { callback(error: null): void })) => {
        if (typeof query === 'string') return { rows: query.includes('dbproxy.apply(') ? await apply() : [] };
        query.submit(noting(together));
        query.callback(null);
        return query;
      },
      on: () => undefined,
      once: () => undefined,
      end: () => Promise.resolve(),
    } as unknown as Awaited<ReturnType<Connect>>);

const noting = (values: string[]): pg.Connection =>
  ({
    ...{ stream: { cork: () => undefined, uncork: () => undefined } },
    ...{ parse: () => undefined, execute: () => undefined, sync: () => undefined },
    bind: (config: { values: string[] }) => void values.push(...config.values),
  }) as unknown as pg.Connection;

const failing = (code: string): Error => Object.assign(new pg.DatabaseError('said so', 0, 'error'), { code });
/** Of what is applied alone. */
const payload = '[{"kind":"truncate","table":"t"}]';
const entry = { lsn: lsn(16_385), payload, base: {} } as unknown as Proposal;

function linkTo(apply: () => Promise<unknown[]> = () => Promise.resolve([])) {
  const told: string[] = [];
  const together: string[] = [];
  const link = new EngineLink(1, {
    applied: () => void told.push('applied'),
    blocked: () => undefined,
    diverged: (reason) => void told.push(reason),
    ready: () => undefined,
    lost: () => undefined,
  });
  return { link, told, together, attach: () => link.attach(connectingTo(apply, together)) };
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

it('what cannot be applied, nor without what is left out then: it says so, and no more is applied', async () => {
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
  expect([tries, link.queued]).toEqual([2, 2]);
  link.close();
});

it('what is queued is applied together, up to what has seen an own transaction that is not here yet', async () => {
  const { link, told, together, attach } = linkTo();
  const [own, ...others] = [20_000, 16_385, 16_386, 16_387].map(lsn) as [Lsn, Lsn, Lsn, Lsn];
  link.expect({ lsn: own, payload: '[]' });
  for (const [i, at] of others.entries())
    link.enqueue({ ...entry, lsn: at, payload: '[]', base: i === 2 ? { 1: own } : {} });
  await attach();
  await eventually('two to be applied', () => Promise.resolve(told.length === 2 || null));
  expect(together).toEqual(['{16385,16386}']);
  link.committed(own);
  await eventually('the third to be applied', () => Promise.resolve(told.length === 3 || null));
  expect(together).toEqual(['{16385,16386}', '{16387}']);
  link.close();
});
