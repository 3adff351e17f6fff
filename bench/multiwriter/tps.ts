/**
 * Two writers against one that is none, and against two engines that are each other's subscribers: pgbench's simple-update, 16 clients
 * in all, keys of the two disjoint, by turns. What a transaction costs of which processes, and what one client's commit takes. The
 * storage nodes' votes are on the disk that the engines have, too.
 *
 *   npm run bench:multiwriter -- [--seconds 10] [--rounds 3] [--warm-up 20] [--etcd]
 *
 * The warm-up is the compiler's: in the first seconds of a node process much of its time is spent on translating itself.
 */
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { TestEtcd } from '../../test/multiwriter/etcd/server.js';
import { TestCluster } from '../../test/multiwriter/writer/cluster.js';
import { connectPg } from '../../test/support/clients.js';
import { PASSWORD } from '../../test/support/engines.js';
import { TestProxy } from '../../test/support/proxies.js';
import { pgbench, type PgbenchResult } from '../support/pgbench.js';
import { cpuUs, cpuUsOfTree } from '../support/processes.js';
import { MutualReplication } from '../support/mutual-replication.js';
import { conditions, conditionsLine, markdown, median, ms, save } from '../support/report.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '3' },
    'warm-up': { type: 'string', default: '20' },
    etcd: { type: 'boolean', default: false },
  },
});
const [seconds, rounds, warmUpSeconds] = [values.seconds, values.rounds, values['warm-up']].map(Number) as [
  number,
  number,
  number,
];
const CLIENTS = 16;
const GOAL_PERCENT = 60;
const ACCOUNTS = 20_000;
/** Rows of one transaction. */
const ROWS = 2_000;
/** As in production. */
const TICK_MS = 200;
const SCHEMA = [
  'create table pgbench_accounts (aid int primary key, bid int, abalance int, filler char(84))',
  'create table pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))',
];

type Kind = 'one' | 'mutual' | 'two';
const KINDS: readonly Kind[] = ['one', 'mutual', 'two'];
type Part = 'proxies' | 'storage nodes' | 'engines';
type CpuUs = Readonly<Record<Part, number>>;
interface Round {
  readonly tps: number;
  readonly p50Ms: number;
  /** After the load, until everybody had everything. */
  readonly behindMs: number;
  /** Of one transaction. */
  readonly cpuUs: CpuUs;
}

const etcd = values.etcd ? await TestEtcd.start() : null;
const cluster = await TestCluster.start({
  tickMs: TICK_MS,
  ...(etcd ? { etcd: await etcd.configOf('/bench') } : { store: { place: tmpdir(), tickMs: TICK_MS } }),
});
let alone: TestProxy | null = null;
let replicated: MutualReplication | null = null;
try {
  const script = async (name: string, from: number, to: number): Promise<string> => {
    const file = join(cluster.engines.home, `${name}.sql`);
    await writeFile(
      file,
      `\\set aid random(${from}, ${to})\n\\set delta random(-5000, 5000)\nBEGIN;\nUPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\nINSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, :aid, :delta, CURRENT_TIMESTAMP);\nEND;\n`,
    );
    return file;
  };
  const half = ACCOUNTS / 2;
  const scripts = [await script('low', 1, half), await script('high', half + 1, ACCOUNTS)];
  const whole = await script('all', 1, ACCOUNTS);
  const engine = await cluster.engines.primary();
  const single = (alone = await TestProxy.start(cluster.engines, engine));
  for (const port of [cluster.members[0]!.port, single.port]) await setUp(port);
  await cluster.atRest();
  const mutual = (replicated = await MutualReplication.start(cluster.engines, setUp));
  const nodes = await Promise.all((cluster.store?.nodes ?? []).map((node) => node.status()));
  const storePids = etcd ? [etcd.child!.pid!] : nodes.map(({ pid }) => pid);

  const processes: Record<Kind, { proxies: number[]; nodes: number[]; engines: number[] }> = {
    one: { proxies: [single.pid], nodes: [], engines: [engine.process!.pid] },
    mutual: {
      proxies: mutual.members.map(({ proxy }) => proxy.pid),
      nodes: [],
      engines: mutual.members.map(({ pid }) => pid),
    },
    two: {
      proxies: cluster.members.map(({ proxy }) => proxy!.pid),
      nodes: storePids,
      engines: cluster.members.map((member) => member.engine.process!.pid),
    },
  };
  const used = async (kind: Kind): Promise<CpuUs> => ({
    proxies: await total(processes[kind].proxies.map(cpuUs)),
    'storage nodes': await total(processes[kind].nodes.map(cpuUs)),
    engines: await total(processes[kind].engines.map(cpuUsOfTree)),
  });
  const onEach = (ports: readonly number[], clients: number, forSeconds: number): Promise<PgbenchResult>[] =>
    ports
      .slice(0, clients)
      .map((port, i) => run(port, scripts[i]!, Math.ceil(clients / ports.length), forSeconds));
  const mutualPorts = mutual.members.map(({ proxy }) => proxy.port);
  const writerPorts = cluster.members.map(({ port }) => port);
  const loads = {
    one: (clients: number, forSeconds: number) => [run(single.port, whole, clients, forSeconds)],
    mutual: (clients: number, forSeconds: number) => onEach(mutualPorts, clients, forSeconds),
    two: (clients: number, forSeconds: number) => onEach(writerPorts, clients, forSeconds),
  };
  /** Until each has what the others have: that is work, too. */
  const atRest: Record<Kind, () => Promise<unknown>> = {
    one: () => Promise.resolve(),
    mutual: () => mutual.atRest(),
    two: () => cluster.atRest(),
  };
  const round = async (kind: Kind, clients: number): Promise<Round> => {
    const before = await used(kind);
    const beganAt = performance.now();
    const results = await Promise.all(loads[kind](clients, seconds));
    const loadMs = performance.now() - beganAt;
    await atRest[kind]();
    const behindMs = performance.now() - beganAt - loadMs;
    const after = await used(kind);
    const transactions = results.reduce((sum, one) => sum + one.transactions, 0);
    const of = (part: Part): number => (after[part] - before[part]) / transactions;
    return {
      tps: results.reduce((sum, { tps }) => sum + tps, 0),
      p50Ms: median(results.map(({ p50Ms }) => p50Ms)),
      behindMs,
      cpuUs: {
        proxies: of('proxies'),
        'storage nodes': of('storage nodes'),
        engines: of('engines'),
      },
    };
  };

  for (const kind of KINDS) await Promise.all(loads[kind](CLIENTS, warmUpSeconds));
  const series: Record<Kind, Round[]> = { one: [], mutual: [], two: [] };
  for (let i = 0; i < rounds; i++) for (const kind of KINDS) series[kind].push(await round(kind, CLIENTS));
  const quiet: Record<Kind, Round> = {
    one: await round('one', 1),
    mutual: await round('mutual', 1),
    two: await round('two', 1),
  };

  const about = conditions(engine.postgres, { seconds: `${seconds} s`, rounds: `${rounds} rounds` });
  await save(etcd ? 'multiwriter-etcd' : 'multiwriter', {
    schema: 'dbproxy.bench-multiwriter/3',
    about,
    series,
    quiet,
  });
  const tps = (kind: Kind): number => median(series[kind].map((one) => one.tps));
  const percent = (kind: Kind): string => ((100 * tps(kind)) / tps('one')).toFixed(0);
  const row = (name: string, kind: Kind): string[] => {
    const cost = (part: Part): number => median(series[kind].map((one) => one.cpuUs[part])) / 1_000;
    const costs = [cost('proxies'), cost('storage nodes'), cost('engines')];
    return [
      name,
      tps(kind).toFixed(0),
      ...costs.map((each) => each.toFixed(2)),
      ms(median(series[kind].map(({ p50Ms }) => p50Ms))),
      quiet[kind].p50Ms.toFixed(2),
      median(series[kind].map(({ behindMs }) => behindMs)).toFixed(0),
    ];
  };
  process.stdout.write(
    `\n${conditionsLine(about)}\n\n${markdown(
      [
        `${CLIENTS} clients`,
        'TPS',
        'proxies, ms CPU a transaction',
        etcd ? 'etcd' : 'storage nodes',
        'engines',
        'p50 ms',
        'p50 ms of a single client',
        'behind at the end, ms',
      ],
      [
        row('one engine, no writers', 'one'),
        row('two engines, logical replication both ways, no conflicts found', 'mutual'),
        row('two writers, disjoint keys', 'two'),
      ],
    )}\n\n${percent('two')} % of one (goal: ${GOAL_PERCENT}); logical replication: ${percent('mutual')} %\n`,
  );
} finally {
  await alone?.stop();
  await replicated?.stop();
  await cluster.close();
  await etcd?.close();
}

async function total(figures: readonly Promise<number>[]): Promise<number> {
  return (await Promise.all(figures)).reduce((sum, one) => sum + one, 0);
}

async function setUp(port: number): Promise<void> {
  const client = await connectPg({
    host: '127.0.0.1',
    port,
    user: 'postgres',
    password: PASSWORD,
    database: 'postgres',
  });
  for (const sql of SCHEMA) await client.query(sql);
  for (let from = 1; from <= ACCOUNTS; from += ROWS) {
    await client.query(
      `insert into pgbench_accounts select g, 1, 0, '' from generate_series(${from}, ${from + ROWS - 1}) g`,
    );
  }
  await client.end();
}

function run(port: number, file: string, clients: number, forSeconds: number): Promise<PgbenchResult> {
  return pgbench({
    host: '127.0.0.1',
    port,
    user: 'postgres',
    password: PASSWORD,
    clients,
    protocol: 'simple',
    seconds: forSeconds,
    script: { file, scale: 1 },
  });
}
