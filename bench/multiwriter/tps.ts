/**
 * Two writers against one that is none: pgbench's simple-update, 16 clients in all, keys of the two disjoint, by turns.
 *
 *   npm run bench:multiwriter -- [--seconds 10] [--rounds 3] [--etcd]
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { TestEtcd } from '../../test/multiwriter/etcd/server.js';
import { TestCluster } from '../../test/multiwriter/writer/cluster.js';
import { connectPg } from '../../test/support/clients.js';
import { PASSWORD } from '../../test/support/engines.js';
import { TestProxy } from '../../test/support/proxies.js';
import { pgbench } from '../support/pgbench.js';
import { conditions, conditionsLine, median, save } from '../support/report.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '3' },
    etcd: { type: 'boolean', default: false },
  },
});
const [seconds, rounds] = [Number(values.seconds), Number(values.rounds)];
const CLIENTS = 16;
const ACCOUNTS = 20_000;
/** Rows of one transaction. */
const ROWS = 2_000;
const SCHEMA = [
  'create table pgbench_accounts (aid int primary key, bid int, abalance int, filler char(84))',
  'create table pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))',
];

const etcd = values.etcd ? await TestEtcd.start() : null;
const cluster = await TestCluster.start(etcd ? { etcd: await etcd.configOf('/bench') } : {});
let alone: TestProxy | null = null;
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
  alone = await TestProxy.start(cluster.engines, engine);
  for (const port of [cluster.members[0]!.port, alone.port]) await setUp(port);
  await cluster.atRest();

  const series: { one: number[]; two: number[] } = { one: [], two: [] };
  for (let round = 0; round < rounds; round++) {
    series.one.push((await run(alone.port, whole, CLIENTS)).tps);
    const both = await Promise.all(
      cluster.members.map((member, i) => run(member.port, scripts[i]!, CLIENTS / 2)),
    );
    series.two.push(both.reduce((sum, { tps }) => sum + tps, 0));
  }
  await cluster.atRest();
  const [one, two] = [median(series.one), median(series.two)];
  const about = conditions(engine.postgres, { seconds: String(seconds), rounds: String(rounds) });
  await save(etcd ? 'multiwriter-etcd' : 'multiwriter', {
    schema: 'dbproxy.bench-multiwriter/1',
    about,
    series,
  });
  process.stdout.write(
    `${conditionsLine(about)}\n\none engine, no writers   ${one.toFixed(0)} TPS\ntwo writers, disjoint    ${two.toFixed(0)} TPS   ${((100 * two) / one).toFixed(0)} %\n`,
  );
} finally {
  await alone?.stop();
  await cluster.close();
  await etcd?.close();
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

function run(port: number, file: string, clients: number) {
  return pgbench({
    host: '127.0.0.1',
    port,
    user: 'postgres',
    password: PASSWORD,
    clients,
    protocol: 'simple',
    seconds,
    script: { file, scale: 1 },
  });
}
