/**
 * The same behaviour of the clients people use, six times: straight to PostgreSQL; through the proxy; over TLS; while the sessions are
 * moved back and forth between engines all the time; while the proxy's process is replaced all the time (src/proxy/handover);
 * under torture (src/proxy/torture.ts), where a session moves after every third answer or so. TORTURE_SEED and
 * TORTURE_PROBABILITY: test/torture/run.ts.
 */
import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { makeCertificate } from '../support/certificates.js';
import { directTo, socketOf, withPg } from '../support/clients.js';
import { PASSWORD, TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { engineKind } from '../support/provider.js';
import { isInPlace, Switching } from '../support/switching.js';

const run = promisify(execFile);
const hasTool = (name: string): boolean => {
  try {
    execFileSync(name, ['--version']);
    return true;
  } catch {
    return false;
  }
};

interface Target {
  /** PEM of the root to be trusted: TLS. */
  readonly root?: string;
  readonly host: string;
  readonly port: number;
}

/** Moves the sessions again and again until it is stopped; what goes wrong is what `stop` throws. */
class BackAndForth {
  moves = 0;
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(switching: Switching, proxy: TestProxy) {
    this.#done = (async () => {
      while (!this.#stopped) {
        // A session in a transaction at the wrong moment: the hold runs out, and is tried again.
        await switching.move(proxy).then(
          () => this.moves++,
          (error: Error) => {
            if (!/^not (held|committed)/.test(error.message)) throw error;
          },
        );
      }
    })();
    this.#done.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }
}

/** Replaces the proxy's process again and again. */
class ReplacedAllTheTime {
  moves = 0;
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(proxy: TestProxy) {
    this.#done = (async () => {
      while (!this.#stopped) {
        const { sessions } = await proxy.handOver();
        if (sessions.lost.length > 0) throw new Error(`lost: ${JSON.stringify(sessions.lost)}`);
        this.moves++;
      }
    })();
    this.#done.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }
}

const TORTURE = {
  seed: Number(process.env['TORTURE_SEED'] ?? 1),
  probability: Number(process.env['TORTURE_PROBABILITY'] ?? 0.3),
};
/** Dense enough to be called torture. */
const LEAST_MOVES = 100;

const MOVED = 'through the proxy, while sessions are moved';
const WAYS = [
  'straight to PostgreSQL',
  'through the proxy',
  'through the proxy, over TLS',
  MOVED,
  'through the proxy, while its process is replaced',
  'through the proxy, under torture',
];

describe.each(WAYS)('%s', (way) => {
  let engines: TestEngines;
  let engine: EngineRecord;
  let proxy: TestProxy | null = null;
  let moving: BackAndForth | ReplacedAllTheTime | null = null;
  let target: Target;

  beforeAll(async () => {
    engines = await TestEngines.open();
    engine = await engines.primary();
    await withPg(directTo(engine), async (admin) => {
      await admin.query(`create role app login password '${PASSWORD}'`);
      await admin.query('create database app owner app');
    });
    if (way.startsWith('straight')) {
      const { directory, port } = socketOf(engine);
      target = { host: directory, port };
      return;
    }
    if (way.endsWith('TLS')) {
      const { root, certificateFile, keyFile } = await makeCertificate(engines.home);
      proxy = await TestProxy.start(engines, engine, { tls: { mode: 'required', certificateFile, keyFile } });
      target = { host: '127.0.0.1', port: proxy.port, root: root.certificate };
      return;
    }
    const torture = way.endsWith('torture') ? { torture: TORTURE } : {};
    proxy = await TestProxy.start(engines, engine, torture);
    target = { host: '127.0.0.1', port: proxy.port };
    if (way.includes('moved')) moving = new BackAndForth(new Switching(engines, engine), proxy);
    if (way.includes('replaced')) moving = new ReplacedAllTheTime(proxy);
  });

  afterAll(async () => {
    await moving?.stop();
    if (moving) expect(moving.moves).toBeGreaterThan(0);
    if (way.endsWith('torture')) {
      const { torture } = (await proxy?.control.call('status', {})) ?? {};
      if (process.env['TORTURE_SEED']) process.stdout.write(`torture: ${JSON.stringify(torture)}\n`);
      expect(torture?.failed).toEqual([]);
      expect(torture?.moves).toBeGreaterThan(LEAST_MOVES);
    }
    expect(proxy?.log ?? '').toBe('');
    await proxy?.stop();
    await engines?.close();
  });

  /** Long enough for at least one whole move under a client that goes on. */
  const untilMoved = async (work: (i: number) => Promise<void>, least = 20): Promise<void> => {
    const before = moving?.moves ?? 0;
    const end = performance.now() + 45_000;
    for (let i = 0; i < least || (moving && moving.moves < before + 2); i++) {
      if (performance.now() > end) throw new Error('waited 45 s for two moves');
      await work(i);
    }
  };

  const config = (): pg.ClientConfig => ({
    ...{ host: target.host, port: target.port, user: 'app', password: PASSWORD, database: 'app' },
    ...(target.root === undefined ? {} : { ssl: { ca: target.root } }),
  });

  it('pg: settings, prepared statements, transactions, errors, types', async () => {
    await withPg(config(), async (client) => {
      await client.query(
        `create table pg_items (id int primary key, body jsonb, at timestamptz, data bytea)`,
      );
      await client.query(`set work_mem = '5MB'; set app.tenant = 't1'; set time zone 'Asia/Tokyo'`);
      await untilMoved(async (i) => {
        const data = Buffer.from([i % 256, 0, 255]);
        await client.query('begin');
        await client.query({
          name: 'insert',
          text: 'insert into pg_items values ($1, $2, now(), $3)',
          values: [i, { n: i, s: `ä${i}'"\\` }, data],
        });
        await client.query('savepoint s');
        await expect(
          client.query({
            name: 'insert',
            text: 'insert into pg_items values ($1, $2, now(), $3)',
            values: [i, {}, data],
          }),
        ).rejects.toMatchObject({ code: '23505', constraint: 'pg_items_pkey' });
        await client.query('rollback to s');
        await client.query('commit');
        const { rows } = await client.query({
          name: 'read',
          text: `select body, data, current_setting('work_mem') as w, current_setting('app.tenant') as t,
              current_setting('timezone') as z from pg_items where id = $1`,
          values: [i],
        });
        expect(rows).toEqual([{ body: { n: i, s: `ä${i}'"\\` }, data, w: '5MB', t: 't1', z: 'Asia/Tokyo' }]);
      });
      const { rows } = await client.query('select count(*)::int as n, max(id) + 1 as m from pg_items');
      expect((rows[0] as { n: number; m: number }).n).toBe((rows[0] as { n: number; m: number }).m);
    });
  });

  it('pg: a pool under concurrent load loses and doubles nothing', async () => {
    const pool = new pg.Pool({ ...config(), max: 8 });
    await pool.query('create table pg_counts (n int)');
    let sent = 0;
    await untilMoved(async () => {
      await Promise.all(
        Array.from({ length: 16 }, () => pool.query('insert into pg_counts values ($1)', [sent++])),
      );
    }, 10);
    const { rows } = await pool.query(
      'select count(*)::int as n, count(distinct n)::int as d from pg_counts',
    );
    expect(rows).toEqual([{ n: sent, d: sent }]);
    await pool.end();
  });

  it('postgres.js: pipelined prepared statements, transactions, errors, a cursor, arrays', async () => {
    const sql = postgres({
      host: target.host,
      port: target.port,
      ...(target.host.startsWith('/') ? { path: `${target.host}/.s.PGSQL.${target.port}` } : {}),
      user: 'app',
      pass: PASSWORD,
      database: 'app',
      max: 4,
      ...(target.root === undefined ? {} : { ssl: { ca: target.root } }),
      onnotice: () => undefined,
    });
    await sql`create table js_items (id int primary key, tags text[])`;
    await untilMoved(async (i) => {
      const answers = await Promise.all([
        sql`insert into js_items values (${i}, ${sql.array([`a${i}`, 'b,"c"'])}) returning id`,
        sql`select ${i}::int + 1 as n`,
        sql`select ${'x'}::text as t`,
        sql`select 1/0`.catch((error: postgres.PostgresError) => error.code),
      ]);
      expect([answers[0][0]?.['id'], answers[1][0]?.['n'], answers[2][0]?.['t'], answers[3]]).toEqual([
        i,
        i + 1,
        'x',
        '22012',
      ]);
      const inside = await sql.begin(async (tx) => {
        await tx`update js_items set tags = array_append(tags, 'd') where id = ${i}`;
        return tx`select cardinality(tags) as n from js_items where id = ${i}`;
      });
      expect(inside[0]?.['n']).toBe(3);
    });
    let seen = 0;
    await sql`select generate_series(1, 1000) as n`.cursor(100, (rows) => {
      seen += rows.length;
    });
    expect(seen).toBe(1_000);
    await sql.end();
  });

  const environment = (): NodeJS.ProcessEnv => ({
    ...process.env,
    PGHOST: target.host,
    PGPORT: String(target.port),
    PGUSER: 'app',
    PGPASSWORD: PASSWORD,
    PGDATABASE: 'app',
    PGSSLMODE: target.root === undefined ? 'disable' : 'require',
  });

  it.skipIf(!hasTool('psql'))('psql: meta-commands, variables, COPY, errors and exit codes', async () => {
    const script = [
      'create table psql_items (n int, t text);',
      `\\copy psql_items from program 'seq 1 5000 | sed "s/$/,x/"' with (format csv)`,
      'select count(*), sum(n) from psql_items;',
      `\\set who 'it''s'`,
      `select :'who' as who;`,
      '\\d psql_items',
      'prepare p (int) as select $1 * 2;',
      'execute p (21);',
      'begin; insert into psql_items values (0); rollback;',
      `\\copy (select n from psql_items order by n limit 3) to stdout`,
      'select 1/0;',
      'select current_user;',
    ];
    const argv = ['-X', '-A', '-t', ...script.flatMap((text) => ['-c', text])];
    const { stdout, stderr } = await run('psql', argv, { env: environment() });
    expect(stdout).toContain('COPY 5000\n5000|12502500\n');
    expect(stdout).toContain('n|integer|||');
    expect(stdout).toContain('42\n');
    expect(stdout).toContain('1\n2\n3\n');
    expect(stdout.trimEnd().endsWith('app')).toBe(true);
    expect(stderr).toContain('division by zero');
    const failed = run('psql', ['-X', '-v', 'ON_ERROR_STOP=1', '-c', 'select nonsense'], {
      env: environment(),
    });
    await expect(failed).rejects.toMatchObject({ code: 1 });
    const refused = run('psql', ['-X', '-c', 'select 1'], {
      env: { ...environment(), PGDATABASE: 'nowhere' },
    });
    await expect(refused).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('nowhere') as string,
    });
  });

  // A container's restart takes seconds; from one straight into the next no transaction of its comes in between.
  const isHeldForGood = isInPlace() && engineKind() === 'docker' && way === MOVED;
  it.skipIf(!hasTool('pgbench') || isHeldForGood).each(['simple', 'extended', 'prepared'])(
    'pgbench -M %s: the ledger of TPC-B is exact, and nothing failed',
    async (mode) => {
      const options = { env: environment() };
      await run('pgbench', ['-i', '-s', '1', '-q'], options);
      let done = 0;
      // So many, and not for so long: on a slow machine a move may last as long.
      await untilMoved(async () => {
        const argv = ['-M', mode, '-c', '4', '-j', '1', '-t', '50', '-n'];
        const { stdout } = await run('pgbench', argv, options);
        expect(stdout).toMatch(/number of failed transactions: 0/);
        expect(stdout).toContain('number of transactions actually processed: 200/200');
        done += 200;
      }, 2);
      await withPg(config(), async (client) => {
        const { rows } = await client.query(
          `select (select count(*) from pgbench_history)::int as n,
               (select sum(delta) from pgbench_history) = (select sum(abalance) from pgbench_accounts) as accounts,
               (select sum(delta) from pgbench_history) = (select sum(tbalance) from pgbench_tellers) as tellers,
               (select sum(delta) from pgbench_history) = (select sum(bbalance) from pgbench_branches) as branches`,
        );
        expect(rows).toEqual([{ n: done, accounts: true, tellers: true, branches: true }]);
      });
    },
  );
});
