/**
 * What a transaction of several writers costs their engines, step by step: CPU time of the backend, as the kernel counts it. The
 * transaction is pgbench's simple-update; plain is the same engine before it is a writer's.
 *
 *   npm run bench:multiwriter:steps -- [--transactions 4000]
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { ClientBase } from 'pg';
import { connectAdmin } from '../../src/engine/index.js';
import {
  Applier,
  certified,
  closing,
  install,
  isTold,
  readCalls,
  readWriteSet,
  Told,
  type Request,
} from '../../src/multiwriter/engine/index.js';
import { LsnAllocator, lsn, NO_LSN, type Lsn, type Proposal } from '../../src/multiwriter/protocol/index.js';
import { askAll } from '../../test/support/requests.js';
import { startEngine } from '../support/engine.js';
import { conditions, conditionsLine, markdown, save } from '../support/report.js';

const { values } = parseArgs({ options: { transactions: { type: 'string', default: '4000' } } });
const TRANSACTIONS = Number(values.transactions);
const ACCOUNTS = 10_000;
const SECRET = 'bench';
const SCHEMA = `
  create table pgbench_accounts (aid int primary key, bid int, abalance int, filler char(84));
  create table pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
  insert into pgbench_accounts select g, 1, 0, '' from generate_series(1, ${ACCOUNTS}) g`;
/** In the order in which they come. */
const STEPS = ['begin', 'update', 'select', 'insert', 'closing', 'commit', 'apply'] as const;
type Step = (typeof STEPS)[number];
let next = 0;
type CpuNs = Partial<Record<Step, number>>;

const bench = await startEngine('small', { inMemory: true });
try {
  const connect = () => connectAdmin(bench.engine, { timeoutMs: 60_000 });
  const [admin, client, applier, watcher] = await Promise.all([connect(), connect(), connect(), connect()]);
  for (const one of [admin, client]) await one.query('set search_path = public');
  await admin.query(SCHEMA);
  await client.query('set synchronous_commit = off');
  const plain = await measured(client, pidOf(client), async (step) => {
    await step('begin', 'begin');
    await statements(step);
    await step('commit', 'commit');
  });

  await install(admin, { writer: 0, writers: [0, 1], incarnation: 1, secret: SECRET });
  const calls = await readCalls(admin, SECRET);
  const applying = await Applier.on(0, applier, watcher);
  const [own, foreign] = [0, 1].map((writer) => new LsnAllocator(writer, lsn(NO_LSN + 1), lsn(2 ** 52)));
  const applied: CpuNs = {};
  let told = new Told();
  client.on('notice', (notice) => {
    if (isTold(notice.code)) told.take(notice);
  });
  const captured = await measured(client, pidOf(client), async (step) => {
    await step('begin', 'begin');
    await statements(step);
    told = new Told();
    await step('closing', ...closing(calls));
    const { payload } = readWriteSet(told.withKept([]))!;
    await step('commit', ...certified(calls, own!.take()!));
    // The same rows once more, as if another writer had written them.
    const entry = { lsn: foreign!.take() as Lsn, payload } as Proposal;
    await counted(applied, 'apply', pidOf(applier), () => applying.apply([entry], () => undefined));
  });
  const about = conditions(bench.engine.postgres, { transactions: String(TRANSACTIONS) });
  const series = { plain, captured: { ...captured, ...applied } };
  await save('multiwriter-steps', { schema: 'dbproxy.bench-multiwriter-steps/1', about, series });
  const us = (ns: number | undefined): string =>
    ns === undefined ? '–' : (ns / TRANSACTIONS / 1_000).toFixed(0);
  const sum = (cpu: CpuNs): number => Object.values(cpu).reduce((total, ns) => total + ns, 0);
  process.stdout.write(
    `\n${conditionsLine(about)}\n\n${markdown(
      ['CPU µs of a backend', 'plain', 'a writer'],
      [
        ...STEPS.map((step) => [step, us(series.plain[step]), us(series.captured[step])]),
        ['all', us(sum(series.plain)), us(sum(series.captured))],
      ],
    )}\n`,
  );
  for (const one of [admin, client, applier, watcher]) await one.end();
} finally {
  await bench.close();
}

type Ask = (step: Step, ...requests: Request[]) => Promise<void>;

async function statements(step: Ask): Promise<void> {
  const [aid, delta] = [1 + ((next++ * 7_919) % ACCOUNTS), next % 100];
  await step('update', `UPDATE pgbench_accounts SET abalance = abalance + ${delta} WHERE aid = ${aid}`);
  await step('select', `SELECT abalance FROM pgbench_accounts WHERE aid = ${aid}`);
  await step(
    'insert',
    `INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, ${aid}, ${delta}, CURRENT_TIMESTAMP)`,
  );
}

async function measured(
  client: ClientBase,
  pid: number,
  transaction: (step: Ask) => Promise<void>,
): Promise<CpuNs> {
  const cpu: CpuNs = {};
  const ask: Ask = (step, ...requests) => counted(cpu, step, pid, () => askAll(client, requests));
  for (let i = 0; i < TRANSACTIONS; i++) await transaction(ask);
  return cpu;
}

/** Nanoseconds of the backend go to the step. */
async function counted<T>(cpu: CpuNs, step: Step, pid: number, work: () => Promise<T>): Promise<T> {
  const cpuNs = (): number => Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]);
  const before = cpuNs();
  const result = await work();
  cpu[step] = (cpu[step] ?? 0) + cpuNs() - before;
  return result;
}

/** Of its backend; the types of `pg` do not tell. */
function pidOf(client: ClientBase): number {
  return (client as unknown as { processID: number }).processID;
}
