/**
 * Message sequences, valid and half valid, cut anywhere, straight to PostgreSQL and through a proxy that moves the session at its
 * safe points: the same answers, the same rows, and a session that is at a safe point when all is answered.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { directTo, eventually, socketOf, withPg } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';
import { cases, chunksOf, play, sequence, shown, tablesIn, type Chunk } from '../support/wire-cases.js';

const SEED = Number(process.env['DBPROXY_TEST_WIRE_SEED'] ?? 20_261_201);
const RUNS = Number(process.env['DBPROXY_TEST_WIRE_RUNS'] ?? 20);

let engines: TestEngines;
let engine: EngineRecord;
let proxy: TestProxy;

beforeAll(async () => {
  engines = await TestEngines.open();
  engine = await engines.primary();
  proxy = await TestProxy.start(engines, engine, { torture: { seed: 1, probability: 0.8 } });
  await withPg(directTo(engine), async (admin) => {
    for (const schema of ['straight', 'proxied']) await admin.query(tablesIn(schema));
  });
});

afterAll(async () => {
  expect(proxy?.log).toBe('');
  await proxy?.stop();
  await engines?.close();
});

const takeRows = (schema: string): Promise<unknown> =>
  withPg(directTo(engine), async (admin) => {
    const { rows } = await admin.query<Record<string, unknown>>(
      `select (select array_agg(n order by seq) from ${schema}.c) as c, (select array_agg(n order by n) from ${schema}.u) as u`,
    );
    await admin.query(`truncate ${schema}.c, ${schema}.u restart identity`);
    return rows;
  });

const straightTo = (): { path: string } => {
  const { directory, port } = socketOf(engine);
  return { path: `${directory}/.s.PGSQL.${port}` };
};

const login = (where: number | { path: string }, schema: string): Promise<RawClient> =>
  RawClient.login(where, { parameters: { search_path: schema } });

const isTheSame = async (chunks: readonly Chunk[]): Promise<void> => {
  const straight = await login(straightTo(), 'straight');
  const expected = await play(straight, chunks, null);
  straight.close();
  const client = await login(proxy.port, 'proxied');
  try {
    const got = await play(client, chunks, expected.counts);
    // What an engine said last may be lost with its connection, where more is sent to it.
    if (expected.answers.at(-1)?.startsWith('E FATAL')) expect(got.answers.at(-1)).toMatch(/^E FATAL/);
    else expect(got.answers).toEqual(expected.answers);
    if (client.ended) return;
    await client.query('rollback');
    await eventually('a safe point', async () => {
      const [session] = await proxy.control.call('sessions', {});
      return session?.state === 'idle' ? true : null;
    });
    expect((await client.query(`select 'after'`)).rows).toEqual([['after']]);
  } finally {
    client.close();
    await eventually('the session to be gone', async () =>
      (await proxy.control.call('sessions', {})).length === 0 ? true : null,
    );
    const rows = await takeRows('straight');
    expect(await takeRows('proxied')).toEqual(rows);
  }
};

it.each(Object.entries(cases))('%s', (_, steps) => isTheSame(chunksOf(steps)), 60_000);

it('whatever comes, in whatever pieces', async () => {
  const input = sequence.map(([steps, cuts]) => ({ steps: shown(steps), chunks: chunksOf(steps, cuts) }));
  await fc.assert(
    fc.asyncProperty(input, ({ chunks }) => isTheSame(chunks)),
    { seed: SEED, numRuns: RUNS, endOnFailure: true },
  );
  expect((await proxy.control.call('status', {})).torture?.moves).toBeGreaterThan(RUNS);
}, 600_000);
