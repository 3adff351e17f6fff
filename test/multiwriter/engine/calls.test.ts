/** How the proxy speaks to an engine at a COMMIT: calls of functions, with a proof that nobody may see. */
import type pg from 'pg';
import { expect, it } from 'vitest';
import { closing, isTold, reassigned, type Request } from '../../../src/multiwriter/engine/index.js';
import { connectAdmin } from '../../../src/engine/index.js';
import { askAll } from '../../support/requests.js';
import { useTwoWriters } from './writers.js';

const { a, onBoth } = await useTwoWriters();

const codeOf = (work: Promise<unknown>): Promise<string | null> =>
  work.then(
    () => null,
    ({ code }: { code?: string }) => code ?? 'none',
  );

/** All that a session hears and is not meant for us. */
async function heardBy(client: pg.Client, work: () => Promise<void>): Promise<string> {
  const heard: string[] = [];
  const listen = (notice: object): void => {
    if (!isTold((notice as { code?: string }).code)) heard.push(JSON.stringify({ ...notice }));
  };
  client.on('notice', listen);
  try {
    await work();
  } finally {
    client.off('notice', listen);
  }
  return heard.join('\n');
}
/** As a plan shows a constant: its bytes as numbers. */
const inPlan = (text: string): string => [...Buffer.from(text.slice(0, 12))].join(' ');

it('a session that has all shown to it, plans too, sees no proof', async () => {
  await onBoth('create table seen (query text, at_activity text)', 'create role curious');
  await onBoth('grant all on seen to curious', 'create table starts (id int primary key)');
  await onBoth(
    'grant all on starts to curious',
    `create function looks() returns trigger language plpgsql as $$ begin
       insert into seen select current_query(), query from pg_stat_activity where pid = pg_backend_pid(); return null; end $$`,
    `create constraint trigger looks after insert on starts deferrable initially deferred for each row execute function looks()`,
  );
  // Code of a client that runs within the call, too.
  await onBoth(
    `create function tells(i int) returns int language plpgsql immutable as $$ begin
       raise notice 'within %, behind %', coalesce(current_query(), 'no query'), (select query from pg_stat_activity where pid = pg_backend_pid()); return i; end $$`,
  );
  await onBoth('create unique index starts_told on starts (tells(id))');
  await a.client.query(
    `create function pg_temp.compares(given text) returns boolean language plpgsql as $$ begin return exists (select from pg_class where relname = given); end $$`,
  );
  await a.client.query('set role curious');
  await a.client.query(
    'set client_min_messages = debug5; set debug_print_parse = on; set debug_print_rewritten = on; set debug_print_plan = on; set plan_cache_mode = force_custom_plan',
  );
  const { proof } = a.calls;
  const shows = await heardBy(a.client, async () => {
    await a.client.query(`select pg_temp.compares(md5('x'))`);
  });
  expect(shows).toContain(inPlan('9dd4e461268c'));
  const heard = await heardBy(a.client, async () => {
    for (let i = 0; i < 8; i++) {
      await a.begin();
      await a.client.query(`insert into starts values (${i})`);
      await askAll(a.client, reassigned(a.calls, Buffer.from('reassign owned by curious to curious')));
      await a.close();
      await a.certify();
    }
  });
  for (const setting of [
    'client_min_messages',
    'debug_print_parse',
    'debug_print_rewritten',
    'debug_print_plan',
    'plan_cache_mode',
    'role',
  ])
    await a.client.query(`reset ${setting}`);
  expect(heard).toContain('constvalue');
  expect(heard).toContain('within no query, behind insert into starts');
  for (const shown of [proof, inPlan(proof)]) expect(heard.includes(shown)).toBe(false);
  const rows = (await a.rows('select * from public.seen')) as string[][];
  expect(rows).toHaveLength(8);
  expect(rows.flat().some((text) => text.includes(proof))).toBe(false);
});

it('who does not know the proof closes nothing, however he calls', async () => {
  await onBoth('create table closed_by (id int primary key)', 'create role caller');
  await onBoth('grant insert on closed_by to caller');
  const client = await connectAdmin(a.engine);
  await client.query('set role caller');
  const guess = closing({ ...a.calls, proof: 'guess' });
  const asks: (string | readonly Request[])[] = [
    guess,
    [{ oid: a.calls.oids.closing, values: [''] }],
    [{ oid: a.calls.oids.certify, values: ['5'] }],
    `select dbproxy.closing(null)`,
    `select dbproxy.closing('')`,
    `do $$ begin perform dbproxy.closing('guess'); end $$`,
  ];
  for (const asked of asks) {
    await client.query('begin; insert into public.closed_by values (1)');
    const work = typeof asked === 'string' ? client.query(asked) : askAll(client, asked);
    expect([asked, await codeOf(work)]).toEqual([asked, '42501']);
    await client.query('rollback');
  }
  // Nor by saying what the proxy says with the call.
  await client.query('begin; insert into public.closed_by values (1)');
  expect(await codeOf(client.query(guess.at(-1) as string).then(() => client.query('commit')))).toBe('25000');
  await client.end();
  expect(await a.rows('select * from public.closed_by')).toEqual([]);
});
