/**
 * `--on-timeout cancel` and COPY: an engine looks at a cancel only when its client sends or reads again. Where the proxy can, it does
 * that in the client's place; where it cannot, the client gets its 40001 whenever the engine answers.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { adminQuery } from '../../src/engine/index.js';
import { Frontend, encode } from '../../src/protocol/index.js';
import type { HoldResult } from '../../src/proxy/control-api.js';
import { eventually } from '../support/clients.js';
import { TestEngines, routeTo } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';

let engines: TestEngines;
let primary: EngineRecord;
let standby: EngineRecord;
let proxy: TestProxy;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  proxy = await TestProxy.start(engines, primary);
  standby = await engines.standbyOf(primary);
  await adminQuery(primary, 'create table public.copied (n int)');
  await proxy.control.call('warm', { target: routeTo(standby), withinMs: 100 });
});

afterAll(async () => {
  await proxy?.stop();
  await engines?.close();
});

/** The engine has half of it to end what is canceled. */
const CANCELED_MS = 4_000;

const hold = (budgetMs: number): Promise<HoldResult> =>
  proxy.control.call('hold', {
    ...{ budgetMs, unmovable: 'rollback', cancelTransactions: true, operation: 'scale-9' },
  });

const COPY_DONE = encode.message(Frontend.CopyDone);
const text = (sql: string): Buffer => encode.query(Buffer.from(sql));
const line = (n: number): Buffer => encode.message(Frontend.CopyData, Buffer.from(`${n}\n`));

test('COPY FROM STDIN whose client sends nothing is ended, and what the client still sends of it is ignored', async () => {
  const client = await RawClient.login(proxy.port);
  client.send(text('copy copied from stdin'));
  await client.answer('G');
  client.send(line(1));

  expect(await hold(CANCELED_MS)).toMatchObject({ held: true, blockers: [] });
  await proxy.control.call('release', {});
  expect(await client.answer()).toMatchObject({ errors: ['40001'], status: 'I' });
  client.send(line(2), line(3), COPY_DONE);
  expect((await client.query('select count(*) from copied')).rows).toEqual([['0']]);
  client.close();
});

test('COPY FROM STDIN in a transaction: it fails, and the transaction is aborted', async () => {
  const client = await RawClient.login(proxy.port);
  await client.query('begin');
  client.send(text('copy copied from stdin'));
  await client.answer('G');

  expect(await hold(CANCELED_MS)).toMatchObject({ held: true, blockers: [] });
  await proxy.control.call('release', {});
  expect(await client.answer()).toMatchObject({ errors: ['40001'], status: 'E' });
  client.send(COPY_DONE);
  expect((await client.query('select 1')).errors).toEqual(['25P02']);
  expect((await client.query('rollback')).status).toBe('I');
  client.close();
});

test('COPY FROM STDIN whose client has sent half a message: 40001 when it sends the rest, long after the attempt', async () => {
  const client = await RawClient.login(proxy.port);
  const [[pid]] = (await client.query('select pg_backend_pid()')).rows as [[string]];
  client.send(text('copy copied from stdin'));
  await client.answer('G');
  const half = line(12_345);
  client.send(half.subarray(0, 8));

  expect(await hold(300)).toMatchObject({
    held: false,
    blockers: [
      {
        reason: expect.stringMatching(
          /^has been in COPY for .* s, canceled, which its engine has not/,
        ) as string,
      },
    ],
    canceled: [{ reason: expect.stringMatching(/^has been in COPY for [\d.]+ s$/) as string }],
  });
  client.send(half.subarray(8));
  expect(await client.answer()).toMatchObject({ errors: ['40001'], status: 'I' });
  // A statement that somebody else cancels is none of that operation's.
  client.send(text('select pg_sleep(60)'));
  await eventually('the statement to run', async () => {
    const running = await adminQuery(
      primary,
      `select from pg_stat_activity where wait_event = 'PgSleep' and pid = $1`,
      [pid],
    );
    return running.length === 1;
  });
  await adminQuery(primary, 'select pg_cancel_backend($1)', [pid]);
  expect((await client.answer()).errors).toEqual(['57014']);
  client.close();
});

test('and also when another process has taken the session over meanwhile', async () => {
  const client = await RawClient.login(proxy.port);
  client.send(text('copy copied from stdin'));
  await client.answer('G');
  const half = line(12_345);
  client.send(half.subarray(0, 8));
  expect(await hold(300)).toMatchObject({ held: false });
  await proxy.control.call('unwarm', {});
  await proxy.handOver();
  client.send(half.subarray(8));
  expect(await client.answer()).toMatchObject({ errors: ['40001'], status: 'I' });
  await proxy.control.call('warm', { target: routeTo(standby), withinMs: 100 });
  client.close();
});

test('COPY TO STDOUT whose client does not read is canceled, and the client reads 40001 behind its rows', async () => {
  const client = await RawClient.login(proxy.port);
  client.socket.pause();
  client.send(text(`copy (select repeat('x', 1000) from generate_series(1, 100000)) to stdout`));
  await eventually('the engine to wait for the client', async () => {
    const waiting = await adminQuery(
      primary,
      `select from pg_stat_activity where wait_event = 'ClientWrite' and query like 'copy (select%'`,
    );
    return waiting.length === 1;
  });

  expect(await hold(CANCELED_MS)).toMatchObject({ held: true, blockers: [] });
  await proxy.control.call('release', {});
  client.socket.resume();
  const { errors, status, messages } = await client.answer();
  expect({ errors, status }).toEqual({ errors: ['40001'], status: 'I' });
  expect(messages.length).toBeLessThan(100_000);
  expect((await client.query('select 1')).rows).toEqual([['1']]);
  client.close();
});

test('a row that is longer than what is taken ahead: 40001 when the client has read it', async () => {
  const client = await RawClient.login(proxy.port);
  client.socket.pause();
  client.send(text(`select repeat('x', 30000000) from generate_series(1, 3)`));
  await eventually('the engine to wait for the client', async () => {
    const waiting = await adminQuery(
      primary,
      `select from pg_stat_activity where wait_event = 'ClientWrite' and query like 'select repeat%'`,
    );
    return waiting.length === 1;
  });

  expect(await hold(400)).toMatchObject({ held: false });
  client.socket.resume();
  expect(await client.answer()).toMatchObject({ errors: ['40001'], status: 'I' });
  client.close();
});
