/** The load on a real engine: what it counts, what it calls an error, what it does not hide. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { checkLedger, initialiseWorkload, readLedger, runWorkload } from '../../src/workload/index.js';
import { PROTOCOLS, startWorkloadProcess } from '../../src/workload/index.js';
import { socketOf } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';

let engines: TestEngines;
let url: string;
let socketPath: string;

beforeAll(async () => {
  engines = await TestEngines.open();
  const access = socketOf(await engines.primary());
  url = `postgres://postgres@localhost/postgres?host=${access.directory}&port=${access.port}`;
  socketPath = join(access.directory, `.s.PGSQL.${access.port}`);
  await initialiseWorkload({ url, scale: 1 });
});
afterAll(() => engines.close());

const sql = async (text: string): Promise<pg.QueryResult> => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await client.query(text);
  } finally {
    await client.end();
  }
};

describe('initialisation', () => {
  test("makes pgbench's tables, rows and keys", async () => {
    const { rows } = await sql(
      `select (select count(*)::int from pgbench_accounts) as accounts, (select count(*)::int from pgbench_tellers) as tellers,
              (select count(*)::int from pgbench_branches) as branches, (select count(*)::int from pgbench_accounts where bid = 1) as bid,
              (select max(aid) from pgbench_accounts) as last,
              (select count(*)::int from pg_constraint where contype = 'p' and conrelid::regclass::text like 'pgbench_%') as keys`,
    );
    expect(rows[0]).toEqual({
      accounts: 100_000,
      tellers: 10,
      branches: 1,
      bid: 100_000,
      last: 100_000,
      keys: 3,
    });
  });

  test('a database without the tables is refused, with what to type', async () => {
    await sql('create database empty');
    const empty = url.replace('/postgres?', '/empty?');
    for (const [script, words] of [
      ['tpcb-like', 'tpcb-like'],
      [['select-only@9', 'simple-update@1'], 'select-only@9 simple-update@1'],
    ] as const)
      await expect(runWorkload({ url: empty, script, clients: 1, seconds: 1 })).rejects.toMatchObject({
        code: 'DBP_WORKLOAD_TARGET',
        suggestions: [`dbproxy workload run ${words} --init`, 'dbproxy status'],
      });
  });
});

describe('every script in every protocol', () => {
  const all = ['tpcb-like', 'simple-update', 'select-only', 'hot-row', 'skewed-reads'].flatMap((script) =>
    PROTOCOLS.map((protocol) => [script, protocol] as const),
  );

  test.each(all)('%s, %s', async (script, protocol) => {
    const result = await runWorkload({ url, script, protocol, clients: 3, seconds: 0.5, seed: 5 });
    expect(result).toMatchObject({
      failed: 0,
      unknown: 0,
      unfinished: 0,
      disconnects: 0,
      errors: {},
      scale: 1,
    });
    expect(result.transactions).toBeGreaterThan(2);
    expect(result.latencyMs.count).toBe(result.transactions);
    if (['select-only', 'skewed-reads'].includes(script)) expect(result.ledger).toBeNull();
    else expect(result.ledger).toMatchObject({ ok: true, acknowledged: result.transactions });
  });

  test('the ledger notices one changed balance', async () => {
    const baseline = await readLedger(url);
    await sql('update pgbench_tellers set tbalance = tbalance + 1 where tid = 3');
    const verdict = await checkLedger(url, { acknowledged: 0, unknown: 0, baseline });
    expect(verdict.problems).toEqual(['the tellers add up to 1, the history to 0']);
    await sql('update pgbench_tellers set tbalance = tbalance - 1 where tid = 3');
  });

  test('the ledger notices a lost row of history', async () => {
    const baseline = await readLedger(url);
    const { transactions } = await runWorkload({ url, script: 'tpcb-like', clients: 2, seconds: 0.3 });
    await sql(
      'delete from pgbench_history where ctid = (select max(ctid) from pgbench_history where delta <> 0)',
    );
    const verdict = await checkLedger(url, { acknowledged: transactions, unknown: 0, baseline });
    expect(verdict.ok).toBe(false);
    expect(verdict.problems).toContain(`1 of ${transactions} acknowledged transactions are missing`);
    await initialiseWorkload({ url, scale: 1 });
  });
});

describe('scripts of the user', () => {
  const scriptOf = async (text: string): Promise<string> => {
    const file = join(engines.home, `${Math.random().toString(36).slice(2)}.sql`);
    await writeFile(file, text);
    return file;
  };

  test.each(PROTOCOLS)('text that is not ASCII arrives as it was written, %s', async (protocol) => {
    await sql('create table if not exists words (word text)');
    await sql('truncate words');
    const script = await scriptOf("\\set n 7\nINSERT INTO words VALUES ('naïve 漢字 €' || :n);\n");
    const result = await runWorkload({ url, script, protocol, clients: 1, seconds: 0.2 });
    expect(result.errorExamples).toEqual({});
    expect((await sql('select distinct word from words')).rows).toEqual([{ word: 'naïve 漢字 €7' }]);
  });

  test('share the clients by their weights, and sleep', async () => {
    const slow = await scriptOf('SELECT 1;\n\\sleep 20 ms\nSELECT 2;\n');
    const options = { url, clients: 2, seconds: 1, seed: 2 } as const;
    const { works, ledger } = await runWorkload({
      ...options,
      script: ['select-only@9', 'simple-update@3', slow],
    });
    const [reads, writes, sleeps] = works.map(({ transactions }) => transactions);
    expect(reads! / writes!).toBeGreaterThan(1.5);
    expect(writes! / sleeps!).toBeGreaterThan(1.2);
    expect(works[2]!.latencyMs.p50).toBeGreaterThan(19);
    expect(works[0]!.latencyMs.p50).toBeLessThan(works[2]!.latencyMs.p50!);
    // The file writes nothing that the ledger adds up.
    expect(ledger).toMatchObject({ ok: true, acknowledged: writes });
  });

  test('one that writes the tables of the ledger switches it off', async () => {
    const writes = await scriptOf('UPDATE pgbench_tellers SET tbalance = tbalance + 0 WHERE tid = 1;');
    expect(await runWorkload({ url, clients: 1, seconds: 0.2, script: ['tpcb-like', writes] })).toMatchObject(
      {
        ledger: null,
        failed: 0,
      },
    );
  });

  test('know their client, the scale and what they kept', async () => {
    await sql('create table if not exists seen (client int, scale int, n float8)');
    const file = await scriptOf(
      '\\set n :client_id * 10 + :scale\nINSERT INTO seen VALUES (:client_id, :scale, :n + 0.5);\nSELECT 1 -:n;\n',
    );
    for (const protocol of PROTOCOLS)
      expect(await runWorkload({ url, protocol, clients: 3, seconds: 0.2, script: file })).toMatchObject({
        errors: {},
      });
    const { rows } = await sql('select distinct client, scale, n from seen order by client');
    expect(rows).toEqual([0, 1, 2].map((client) => ({ client, scale: 1, n: client * 10 + 1.5 })));
  });

  test('that the database refuses, end the run before it begins, with their line', async () => {
    const typo = await scriptOf('SELECT 1;\n\nSELECT abalanc FROM pgbench_accounts;');
    await expect(runWorkload({ url, clients: 1, seconds: 1, script: typo })).rejects.toMatchObject({
      code: 'DBP_WORKLOAD_TARGET',
      details: { reason: `${typo}:3: column "abalanc" does not exist` },
    });
    const absurd = await scriptOf('\\set a random(1, 2)\n\\set b 1 / (:a - :a)\nSELECT :b;');
    await expect(runWorkload({ url, clients: 2, seconds: 30, script: absurd })).rejects.toMatchObject({
      code: 'DBP_WORKLOAD_SCRIPT',
      message: `${absurd}:2: division by zero`,
    });
  });

  test('an error of theirs has an example with its line', async () => {
    const file = await scriptOf('SELECT 1;\nSELECT 1 / 0;');
    const { errors, errorExamples, failed } = await runWorkload({
      ...{ url, clients: 1, seconds: 0.2, script: file, protocol: 'simple' },
    });
    expect(errors).toEqual({ '22012': failed });
    expect(errorExamples).toEqual({ '22012': `${file}:2: division by zero` });
  });

  test('one statement of several that has committed is not tried again', async () => {
    await sql('create table if not exists tried (n int); truncate tried');
    const file = await scriptOf(
      "INSERT INTO tried VALUES (1);\nDO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$;",
    );
    const { failed, retried } = await runWorkload({
      url,
      clients: 1,
      seconds: 0.2,
      retries: 5,
      script: file,
    });
    const { rows } = await sql('select count(*)::int as n from tried');
    expect({ retried, rows }).toEqual({ retried: 0, rows: [{ n: failed }] });
  });
});

describe('open loop', () => {
  test('arrivals at equal distances', async () => {
    const { transactions, arrivals, tps } = await runWorkload({
      ...{
        url,
        script: 'select-only',
        clients: 4,
        seconds: 1,
        ratePerSecond: 200,
        arrivals: 'uniform',
        seed: 3,
      },
    });
    expect([transactions, arrivals]).toEqual([200, 'uniform']);
    expect(tps).toBeCloseTo(200);
  });

  test('a rate that is out of reach makes the result invalid, and says why', async () => {
    const { valid, invalidReasons, transactions, latencyMs } = await runWorkload({
      ...{ url, script: 'hot-row', clients: 2, seconds: 3, ratePerSecond: 50_000, seed: 3 },
    });
    expect(valid).toBe(false);
    expect(invalidReasons.join('; ')).toMatch(
      /the rate of 50000\/s was not reached: .* had waited \d+ ms to begin/,
    );
    expect(transactions).toBeGreaterThan(0);
    expect(latencyMs.max).toBeGreaterThan(1_000);
  });

  test('runs what the seed says, no more and no less', async () => {
    const options = {
      url,
      script: 'select-only',
      clients: 4,
      seconds: 1,
      ratePerSecond: 300,
      seed: 9,
    } as const;
    const [first, second] = [await runWorkload(options), await runWorkload(options)];
    expect(first.transactions).toBe(second.transactions);
    expect(first.transactions).toBeGreaterThan(230);
    expect(first.transactions).toBeLessThan(370);
    expect(first.scheduleLagMs?.count).toBe(first.transactions);
  });

  test('a server that stands still shows in the latency of every call that was due meanwhile', async () => {
    const blocker = new pg.Client({ connectionString: url });
    await blocker.connect();
    const held = { from: 0, to: 0 };
    const running = runWorkload({
      ...{ url, script: 'simple-update', clients: 2, seconds: 2, ratePerSecond: 200, seed: 3 },
      windows: () => [held],
      onStart: () => {
        void (async () => {
          await blocker.query('select pg_sleep(0.5)');
          await blocker.query('begin; lock table pgbench_history in access exclusive mode');
          held.from = Date.now();
          await blocker.query('select pg_sleep(0.6)');
          held.to = Date.now();
          await blocker.query('commit');
        })();
      },
    });
    const result = await running;
    await blocker.end();

    // Two calls were in the server when it stood still; some 120 were due, and none of them is forgotten.
    expect(result.transactions + result.failed).toBeGreaterThan(300);
    expect(
      result.serviceMs.counts.filter(([bound]) => bound > 200).reduce((sum, [, n]) => sum + n, 0),
    ).toBeLessThan(10);
    const slow = result.latencyMs.counts.filter(([bound]) => bound > 200).reduce((sum, [, n]) => sum + n, 0);
    expect(slow).toBeGreaterThan(50);
    expect(result.latencyMs.max).toBeGreaterThan(500);
    expect(result.longestGapMs.ms).toBeGreaterThan(500);
    // And they are the stall of that window.
    expect(result.stallMs.count).toBeGreaterThan(80);
    expect(result.stallMs.max).toBeGreaterThan(500);
    expect(result.stallMs.windows).toEqual([
      expect.objectContaining({ ...held, calls: result.stallMs.count }),
    ]);
    // The generator itself was on time: a call that waited for a free client is the server's fault.
    expect(result.scheduleLagMs?.p50).toBeLessThan(50);
    expect(result.ledger?.ok).toBe(true);
  });

  test('what cannot be answered in time is counted, and the result is marked', async () => {
    const blocker = new pg.Client({ connectionString: url });
    await blocker.connect();
    await blocker.query('begin; lock table pgbench_accounts in access exclusive mode');
    const result = await runWorkload({
      ...{
        url,
        script: 'select-only',
        protocol: 'simple',
        clients: 1,
        seconds: 0.2,
        ratePerSecond: 50,
        seed: 1,
      },
    });
    await blocker.end();
    // Begun or not: none of them counts as anything else.
    expect(result.transactions).toBe(0);
    expect(result.unfinished).toBeGreaterThan(3);
    expect(result.failed + result.unknown).toBe(0);
    expect(result.valid).toBe(false);
    expect(result.invalidReasons.join()).toContain('not answered in time');
  });
});

describe('the end of a run', () => {
  test('an abort ends it gracefully: nothing in flight is lost', async () => {
    const stop = new AbortController();
    const result = await runWorkload({
      ...{ url, script: 'tpcb-like', clients: 4, seconds: 60 },
      signal: stop.signal,
      onProgress: () => stop.abort(),
    });
    expect(result.seconds).toBeLessThan(30);
    expect(result).toMatchObject({ failed: 0, unknown: 0, unfinished: 0, ledger: { ok: true } });
  });

  test('warm-up is in the ledger and not in the numbers', async () => {
    const result = await runWorkload({
      url,
      script: 'tpcb-like',
      clients: 2,
      seconds: 0.5,
      warmupSeconds: 0.5,
    });
    expect(result.ledger!.acknowledged).toBeGreaterThan(result.transactions);
    expect(result.ledger!.ok).toBe(true);
  });

  test('in a process of its own: the same result, its windows asked for at the end, errors by their code', async () => {
    let from = 0;
    const load = startWorkloadProcess({
      ...{ url, script: 'tpcb-like', clients: 2, seconds: 60, ratePerSecond: 100 },
      windows: () => [{ from, to: Date.now() }],
      onProgress: () => load.stop(),
    });
    await load.started;
    from = Date.now();
    const result = await load.result;
    expect(result).toMatchObject({ schema: 'dbproxy.workload/1', failed: 0, ledger: { ok: true } });
    expect(result.stallMs.count).toBeGreaterThan(0);

    const refused = startWorkloadProcess({
      url: 'postgres://127.0.0.1:1/x',
      script: 'tpcb-like',
      clients: 1,
      seconds: 1,
    });
    await expect(refused.result).rejects.toMatchObject({ code: 'DBP_WORKLOAD_TARGET' });

    const killed = startWorkloadProcess({ url, script: 'tpcb-like', clients: 1, seconds: 60 });
    await killed.started;
    killed.kill();
    await expect(killed.result).rejects.toMatchObject({ code: 'DBP_WORKLOAD_PROCESS' });
  });
});

describe('errors', () => {
  beforeEach(() => initialiseWorkload({ url, scale: 1 }).then(() => {}));

  test('an error of a statement is a failed transaction with its SQLSTATE, and the client goes on', async () => {
    await sql('alter table pgbench_accounts add constraint poor check (abalance < 1) not valid');
    const result = await runWorkload({ url, script: 'tpcb-like', clients: 2, seconds: 0.5 });
    expect(result.errors).toEqual({ '23514': result.failed });
    expect(result.failed).toBeGreaterThan(0);
    expect(result.transactions).toBeGreaterThan(0);
    expect(result).toMatchObject({ unknown: 0, disconnects: 0, ledger: { ok: true } });
  });

  test('serialization failures are tried again only when asked for', async () => {
    // One branch for everybody: serializable transactions collide.
    await sql('alter database postgres set default_transaction_isolation = serializable');
    const options = { url, script: 'tpcb-like', clients: 8, seconds: 0.7 } as const;
    const none = await runWorkload(options);
    // More than anybody can lose in that time, also on a busy machine.
    const some = await runWorkload({ ...options, retries: 100_000 });
    await sql('alter database postgres reset default_transaction_isolation');
    expect(none.errors['40001']).toBe(none.failed);
    expect(none.failed).toBeGreaterThan(0);
    expect(none.retried).toBe(0);
    expect(some.retried).toBeGreaterThan(0);
    expect(some.failed).toBe(0);
    expect([none.ledger?.ok, some.ledger?.ok]).toEqual([true, true]);
  });

  test('sessions that are terminated are disconnects; the clients come back', async () => {
    let isDone = false;
    const result = await runWorkload({
      ...{ url, script: 'tpcb-like', clients: 4, seconds: 4, ratePerSecond: 100 },
      onProgress: () => {
        if (isDone) return;
        isDone = true;
        void sql(`select pg_terminate_backend(pid) from pg_stat_activity
                  where application_name = 'dbproxy workload' and pid <> pg_backend_pid()`);
      },
    });
    expect(result.disconnects).toBe(4);
    expect(result.reconnects).toBe(4);
    expect(Object.keys(result.errors).every((state) => ['57P01', '08006'].includes(state))).toBe(true);
    expect(result.timeline.at(-1)?.tps).toBeGreaterThan(0);
    expect(result.ledger?.ok).toBe(true);
  });

  test('a connection lost with COMMIT in flight has an unknown outcome, before it a failed one', async () => {
    // Between client and engine: cuts the connection when END has reached the engine, and before its answer comes back.
    const atEnd = await cuttingRelay('P0_6');
    const lostAtEnd = await runWorkload({
      url: atEnd.url,
      script: 'tpcb-like',
      clients: 1,
      seconds: 0.5,
      ledger: false,
    });
    await atEnd.close();
    expect(lostAtEnd.unknown).toBeGreaterThan(0);
    expect(lostAtEnd).toMatchObject({ failed: 0, transactions: 0, errors: { '08006': lostAtEnd.unknown } });
    expect(lostAtEnd.disconnects).toBe(lostAtEnd.unknown);

    const earlier = await cuttingRelay('P0_3');
    const lostBefore = await runWorkload({
      url: earlier.url,
      script: 'tpcb-like',
      clients: 1,
      seconds: 0.5,
      ledger: false,
    });
    await earlier.close();
    expect(lostBefore.failed).toBeGreaterThan(0);
    expect(lostBefore).toMatchObject({ unknown: 0, transactions: 0, errors: { '08006': lostBefore.failed } });
  });

  test('unknown outcomes leave room in the ledger, in one direction only', async () => {
    const baseline = await readLedger(url);
    const relay = await cuttingRelay('P0_6');
    const { unknown } = await runWorkload({
      url: relay.url,
      script: 'tpcb-like',
      clients: 1,
      seconds: 0.5,
      ledger: false,
    });
    await relay.close();
    const verdict = await checkLedger(url, { acknowledged: 0, unknown, baseline });
    expect(verdict.ok).toBe(true);
    expect(verdict.committed).toBeGreaterThan(0);
    expect((await checkLedger(url, { acknowledged: 0, unknown: 0, baseline })).ok).toBe(false);
  });
});

/** A relay that passes the bytes naming a statement on to the engine and hangs up on the client. */
async function cuttingRelay(statement: string): Promise<{ url: string; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((client) => {
    const engine = connect(socketPath);
    for (const socket of [client, engine]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
    }
    engine.on('data', (chunk: Buffer) => client.write(chunk));
    client.on('close', () => engine.end());
    engine.on('close', () => client.destroy());
    client.on('data', (chunk: Buffer) => {
      engine.write(chunk);
      const isBind = chunk[0] === 'B'.charCodeAt(0);
      if (isBind && chunk.includes(`\0${statement}\0`)) client.destroy();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
