/**
 * How long the sessions of a writer wait while its proxy's process is replaced (`patch --self`), with two writers: some of them write, one
 * row each. Beside it what it would take without: the proxy is ended and started again, and its clients connect again.
 *
 *   npm run bench:multiwriter:handover -- [--sessions 10,100] [--handovers 10]
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type pg from 'pg';
import { type Member, TestCluster } from '../../test/multiwriter/writer/cluster.js';
import { conditions, conditionsLine, markdown, ms, quantiles, save } from '../support/report.js';

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '10,100' },
    handovers: { type: 'string', default: '10' },
  },
});
const HANDOVERS = Number(values.handovers);
/** Of the sessions. */
const AT_WORK = 0.1;
const LEAST_AT_WORK = 4;
const BETWEEN_CALLS_MS = 10;
const PAUSE_MS = 500;
/** As in production. */
const TICK_MS = 200;

interface Series {
  readonly sessions: number;
  readonly active: number;
  /** Of each handover: half of the sessions, and the last one. */
  readonly holds: readonly { readonly p50: number; readonly max: number }[];
  /** The longest call of a client at work during it; and without one. */
  readonly stallsMs: readonly number[];
  readonly quietMs: readonly number[];
  /** From the end of the proxy until all have connected again and written. */
  readonly restartMs: number;
  readonly errors: number;
}

class Work {
  readonly #done: Promise<unknown>;
  #longestMs = 0;
  #isOver = false;
  errors = 0;

  constructor(clients: readonly pg.Client[]) {
    this.#done = Promise.all(clients.map((client, own) => this.#run(client, own)));
  }

  /** Since it was last asked, ms. */
  longest(): number {
    const found = this.#longestMs;
    this.#longestMs = 0;
    return found;
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#done;
  }

  async #run(client: pg.Client, own: number): Promise<void> {
    while (!this.#isOver) {
      const beganAt = performance.now();
      await write(client, own).catch(() => this.errors++);
      this.#longestMs = Math.max(this.#longestMs, performance.now() - beganAt);
      await delay(BETWEEN_CALLS_MS);
    }
  }
}

const write = (client: pg.Client, own: number): Promise<unknown> =>
  client.query({ name: 'w', text: 'update worked set n = n + 1 where id = $1', values: [own] });

const connectAll = (member: Member, count: number): Promise<pg.Client[]> =>
  Promise.all(
    Array.from({ length: count }, async () => {
      const client = await member.connect();
      client.on('error', () => undefined);
      return client;
    }),
  );

const cluster = await TestCluster.start({ tickMs: TICK_MS });
try {
  const [member] = cluster.members as [Member];
  const admin = await member.connect();
  await admin.query('create table worked (id int primary key, n int not null default 0)');
  await admin.query('insert into worked select generate_series(0, 1000)');
  await admin.end();
  await cluster.atRest();
  const series: Series[] = [];
  for (const sessions of values.sessions.split(',').map(Number)) series.push(await measure(member, sessions));
  const about = conditions(member.engine.postgres, {});
  await save('multiwriter-handover', { schema: 'dbproxy.bench-multiwriter-handover/1', about, series });
  const heads = ['sessions', 'at work', 'handovers', 'hold p50 ms', 'max', 'longest call p50', 'max'];
  const rest = ['without a handover', 'ended and started again', 'errors'];
  process.stdout.write(`\n${conditionsLine(about)}\n\n${markdown([...heads, ...rest], series.map(row))}\n`);
} finally {
  await cluster.close();
}

async function measure(member: Member, sessions: number): Promise<Series> {
  const active = Math.max(LEAST_AT_WORK, Math.round(sessions * AT_WORK));
  const clients = await connectAll(member, sessions);
  for (const client of clients) await client.query('select 1');
  const work = new Work(clients.slice(0, active));
  const [holds, stallsMs, quietMs]: [{ p50: number; max: number }[], number[], number[]] = [[], [], []];
  for (let i = 0; i < HANDOVERS; i++) {
    work.longest();
    await delay(PAUSE_MS);
    quietMs.push(work.longest());
    const { holdMs } = await member.handOver();
    await delay(PAUSE_MS);
    holds.push({ p50: holdMs.p50, max: holdMs.max });
    stallsMs.push(work.longest());
  }
  await work.end();
  const beganAt = performance.now();
  await member.kill();
  await member.start();
  await cluster.lead(0);
  const again = await connectAll(member, sessions);
  await Promise.all(again.slice(0, active).map(write));
  const restartMs = performance.now() - beganAt;
  await Promise.all([...clients, ...again].map((client) => client.end().catch(() => undefined)));
  return { sessions, active, holds, stallsMs, quietMs, restartMs, errors: work.errors };
}

function row({ sessions, active, holds, stallsMs, quietMs, restartMs, errors }: Series): string[] {
  const [half, last] = [quantiles(holds.map(({ p50 }) => p50)), quantiles(holds.map(({ max }) => max))];
  const stalls = quantiles(stallsMs);
  return [
    ...[String(sessions), String(active), String(holds.length), ms(half.p50), ms(last.max)],
    ...[ms(stalls.p50), ms(stalls.max), ms(quantiles(quietMs).p50), ms(restartMs), String(errors)],
  ];
}
