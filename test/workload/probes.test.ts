/** Each probe on a real session: it runs on, and it notices when what it relies on is taken away from its session. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import pg from 'pg';
import { runWorkload } from '../../src/workload/index.js';
import { PROBES } from '../../src/workload/probes/index.js';
import { seededRandom } from '../../src/workload/random.js';
import { StateLost } from '../../src/workload/taxonomy.js';
import { socketOf } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';

let engines: TestEngines;
let url: string;
let client: pg.Client;

beforeAll(async () => {
  engines = await TestEngines.open();
  const access = socketOf(await engines.primary());
  url = `postgres://postgres@localhost/postgres?host=${access.directory}&port=${access.port}`;
});
afterAll(() => engines.close());

beforeEach(async () => {
  client = new pg.Client({ connectionString: url });
  await client.connect();
  return () => client.end();
});

const context = () => ({
  ...{ clientId: 3, scale: 1, seed: 1, protocol: 'prepared' as const, random: seededRandom(1) },
  giveUp: () => {},
});
const probe = (name: string) => PROBES.find((each) => each.name === name)!;

describe('every probe', () => {
  test.each(PROBES.map(({ name }) => name))('%s finds its state again, turn after turn', async (name) => {
    const turn = await probe(name).open({ client, context: context() });
    // Long enough for the cursor to be read to its end and begun again.
    const turns = name === 'large-result' ? 10 : 110;
    for (let i = 0; i < turns; i++) await turn();
  });

  test('all of them side by side, in one load', async () => {
    const result = await runWorkload({
      ...{ url, script: PROBES.map(({ name }) => name), clients: 4, seconds: 1, seed: 1 },
    });
    expect(result).toMatchObject({ failed: 0, unknown: 0, errors: {}, ledger: null, valid: true, scale: 1 });
    expect(result.works.map(({ name }) => name)).toEqual(PROBES.map(({ name }) => name));
    for (const work of result.works) expect(work.transactions).toBeGreaterThan(0);
    expect(result.works.reduce((sum, { transactions }) => sum + transactions, 0)).toBe(result.transactions);
  });
});

/** The names are the probe's own. */
const DEALLOCATE_DRIVERS = `DO $$ BEGIN EXECUTE (SELECT format('DEALLOCATE %I', name) FROM pg_prepared_statements
  WHERE name LIKE 'probe_driver%'); END $$`;
const MOVE_ON = `DO $$ BEGIN EXECUTE (SELECT format('MOVE 1 FROM %I', name) FROM pg_cursors); END $$`;

describe('state that is taken away', () => {
  test.each([
    ['prepared', 'DEALLOCATE ALL', /prepared .* is gone/],
    ['prepared', DEALLOCATE_DRIVERS, /the driver's prepared statement is gone/],
    ['held-cursor', 'CLOSE ALL', /the cursor is gone/],
    ['held-cursor', MOVE_ON, /rows of the cursor: 12,/],
    ['temp-table', 'DROP TABLE probe_rows', /the temporary table is gone/],
    ['temp-table', 'DELETE FROM probe_rows WHERE id = 5', /rows of the temporary table: 99, was 100/],
    ['temp-table', 'UPDATE probe_rows SET n = n + 1 WHERE id = 5', /sum of the temporary table/],
    ['advisory-lock', 'SELECT pg_advisory_unlock_all()', /advisory locks held: 0, was 1/],
    [
      'advisory-lock',
      'SELECT pg_advisory_lock(1684172914, 3); SELECT pg_advisory_unlock(1684172914, 3), pg_advisory_unlock(1684172914, 3)',
      /held: 0/,
    ],
    ['listen-notify', 'UNLISTEN *', /channel probe_3_[ab] is silent/],
  ])('%s notices %s', async (name, sql, words) => {
    const turn = await probe(name).open({ client, context: context() });
    await turn();
    await client.query(sql);
    const found = await turn().catch((error: unknown) => error);
    expect(found).toBeInstanceOf(StateLost);
    expect((found as Error).message).toMatch(words);
  });

  test('is counted once, as a kind of error of its own, and made anew', async () => {
    // The session loses what it has every now and then, by its own doing: a script beside the probe on the same connection.
    const { works, errors, errorExamples, failed, disconnects } = await runWorkload({
      ...{
        url,
        script: ['temp-table@9', new URL('discard.sql', import.meta.url).pathname],
        clients: 1,
        seconds: 1,
      },
      seed: 4,
    });
    const [kept, discards] = works;
    expect(discards!.transactions).toBeGreaterThan(3);
    expect(kept!.transactions).toBeGreaterThan(kept!.failed);
    expect(errors).toEqual({ 'state-lost': failed });
    expect(failed).toBe(kept!.failed);
    expect(failed).toBeGreaterThan(1);
    expect(failed).toBeLessThanOrEqual(discards!.transactions);
    expect(errorExamples['state-lost']).toBe('the temporary table is gone');
    expect(disconnects).toBe(0);
  });
});
