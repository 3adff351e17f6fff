/**
 * Writers whose processes are killed at named points while clients append to lists and move money: a round starts one process so
 * that it stops at a point, waits until it is there, kills it with SIGKILL, and starts it again. Or the process of a proxy is replaced
 * (`patch --self`), and the old or the new one is killed in the middle of that, or none. In the end: every writer is equal, the
 * list-append checker finds nothing, and no money was made or lost.
 */
import { access, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { check } from '../checker/check.js';
import type { Anomaly, History, Transaction } from '../checker/history.js';
import { successorsOf } from '../../support/proxies.js';
import type { TestEtcd } from '../etcd/server.js';
import { type Member, TestCluster } from '../writer/cluster.js';

/** Where a process is killed; the names are those of faultPoint(). */
const PROXY_POINTS = [
  'proxy.closing',
  'proxy.propose',
  'writer.decided',
  'proxy.certify',
  'proxy.certified',
  'writer.applying',
] as const;
/** While a proxy's process is replaced. */
const HANDOVER_POINTS = [
  'handover.still',
  'handover.listening',
  'handover.successor.writes',
  'handover.writes',
  'handover.sessions',
  'handover.go',
  'handover.successor.finish',
] as const;
const NODE_POINTS = ['store.received', 'store.written', 'store.synced', 'store.told'] as const;
/** Where the log is on etcd, beside those. */
const ETCD_POINTS = ['etcd.propose', 'etcd.committed'] as const;
/** Three of them are fought over at a time, and others after so many appends: a read has the whole list. */
const LISTS = Array.from({ length: 90 }, (_, i) => `list ${i}`);
const AT_A_TIME = 3;
const APPENDS = 400;
const ACCOUNTS = 6;
const REACH_MS = 10_000;
const CLIENTS = 3;

export type Kill =
  | {
      readonly what: 'proxy';
      readonly writer: number;
      readonly at: (typeof PROXY_POINTS)[number] | (typeof ETCD_POINTS)[number];
    }
  /** `kills`: which of the two processes; null: neither. */
  | {
      readonly what: 'handover';
      readonly writer: number;
      readonly at: (typeof HANDOVER_POINTS)[number] | null;
      readonly kills: 'old' | 'new' | null;
    }
  | { readonly what: 'etcd' }
  | { readonly what: 'node'; readonly node: number; readonly at: (typeof NODE_POINTS)[number] }
  | { readonly what: 'engine'; readonly writer: number };

export interface CrashResult {
  readonly kills: readonly Kill[];
  /** Kills whose point was reached first. */
  readonly reached: number;
  readonly transactions: Readonly<Record<Transaction['outcome'], number>>;
  readonly anomalies: readonly Anomaly[];
  /** What the accounts come to, per writer; 0 each. */
  readonly sums: readonly number[];
}

/** mulberry32 */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};

export async function crashRun(
  seed: number,
  kills: number,
  told: (kill: Kill, reached: boolean) => void = () => undefined,
  etcd: TestEtcd | null = null,
): Promise<CrashResult> {
  const cluster = await TestCluster.start(etcd ? { etcd: await etcd.configOf('/crashes') } : {});
  const next = random(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  try {
    await prepare(cluster);
    const history: Transaction[] = [];
    const work = new Work(cluster, history);
    const done: Kill[] = [];
    let reached = 0;
    for (let i = 0; i < kills; i++) {
      const dice = next();
      const kill: Kill =
        dice < 0.2
          ? {
              ...{ what: 'handover', writer: pick([0, 1]) },
              ...pick([
                { at: null, kills: null },
                { at: pick(HANDOVER_POINTS), kills: pick(['old', 'new']) },
              ]),
            }
          : dice < 0.65
            ? {
                what: 'proxy',
                writer: pick([0, 1]),
                at: pick(etcd ? [...PROXY_POINTS, ...ETCD_POINTS] : PROXY_POINTS),
              }
            : dice < 0.85
              ? etcd
                ? { what: 'etcd' }
                : { what: 'node', node: pick([0, 1, 2]), at: pick(NODE_POINTS) }
              : { what: 'engine', writer: pick([0, 1]) };
      const wasReached = await carryOut(cluster, kill, `${cluster.engines.home}/at${i}`, etcd);
      if (wasReached) reached++;
      done.push(kill);
      told(kill, wasReached);
    }
    await work.end();
    await cluster.atRest();
    return await judge(cluster, history, done, reached);
  } finally {
    await cluster.close();
  }
}

async function prepare(cluster: TestCluster): Promise<void> {
  const client = await cluster.members[0]!.connect();
  await client.query(`create table list (id text primary key, elements int[] not null default '{}')`);
  await client.query('create table account (id int primary key, balance int not null default 0)');
  for (const list of LISTS) await client.query('insert into list (id) values ($1)', [list]);
  await client.query(`insert into account (id) select generate_series(1, ${ACCOUNTS})`);
  await client.end();
  await cluster.atRest();
}

async function carryOut(
  cluster: TestCluster,
  kill: Kill,
  file: string,
  etcd: TestEtcd | null,
): Promise<boolean> {
  const env = 'at' in kill && kill.at !== null ? { DBPROXY_TEST_PAUSE_AT: `${kill.at}@${file}` } : {};
  switch (kill.what) {
    case 'proxy': {
      const member = cluster.members[kill.writer]!;
      await member.kill();
      // The other one takes over.
      if (cluster.leader === kill.writer) await cluster.lead(1 - kill.writer);
      await member.start(env);
      await member.isOpen().catch(() => null);
      const wasReached = await isReached(file);
      await member.kill();
      await member.start();
      await member.isOpen();
      return wasReached;
    }
    case 'handover':
      return replace(cluster, kill, env, file);
    case 'node': {
      const node = cluster.store!.nodes[kill.node]!;
      await node.kill();
      node.spawn({ isNew: false }, env);
      const wasReached = await isReached(file);
      await node.kill();
      node.spawn({ isNew: false });
      await node.is('in-service');
      return wasReached;
    }
    case 'etcd':
      await etcd?.kill();
      await etcd?.start();
      return true;
    case 'engine': {
      const member = cluster.members[kill.writer]!;
      await member.crashEngine();
      await member.isOpen();
      return true;
    }
  }
}

async function replace(
  cluster: TestCluster,
  { writer, at, kills }: Extract<Kill, { what: 'handover' }>,
  env: NodeJS.ProcessEnv,
  file: string,
): Promise<boolean> {
  const member = cluster.members[writer]!;
  if (at === null) {
    await member.handOver();
    return true;
  }
  await member.kill();
  if (cluster.leader === writer) await cluster.lead(1 - writer);
  await member.start(env);
  await member.isOpen();
  const { proxy } = member;
  const old = proxy!.pid;
  const over = member.handOver().catch(() => undefined);
  const wasReached = await isReached(file);
  const [successor] = successorsOf(old);
  process.kill(kills === 'new' && successor !== undefined ? successor : old, 'SIGKILL');
  await writeFile(file, '');
  await over;
  // Whoever is left goes on, until it is ended, too: another process finds what it has left.
  await proxy!.reconnect().catch(() => undefined);
  await member.kill();
  await member.start();
  await member.isOpen();
  return wasReached;
}

async function isReached(file: string): Promise<boolean> {
  const end = performance.now() + REACH_MS;
  while (performance.now() < end) {
    if (
      await access(`${file}.reached`).then(
        () => true,
        () => false,
      )
    )
      return true;
    await delay(10);
  }
  return false;
}

/** Clients of both writers, which connect again whenever they have to. */
class Work {
  readonly #running: Promise<void>[] = [];
  readonly #history: Transaction[];
  #isOver = false;
  #element = 0;

  constructor(cluster: TestCluster, history: Transaction[]) {
    this.#history = history;
    for (const [writer, member] of cluster.members.entries())
      for (let i = 0; i < CLIENTS; i++) this.#running.push(this.#client(member, `${writer}.${i}`));
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#running);
  }

  async #client(member: Member, session: string): Promise<void> {
    let client: pg.Client | null = null;
    for (let n = 0; !this.#isOver; n++) {
      client ??= await member.connect({ connectionTimeoutMillis: 2_000 }).catch(() => null);
      if (!client) {
        await delay(20);
        continue;
      }
      const alive: boolean = await this.#transaction(client, `${session}-${n}`, session, n);
      if (!alive) {
        void client.end().catch(() => undefined);
        client = null;
      }
    }
    await client?.end().catch(() => undefined);
  }

  /** False: the connection is gone. */
  async #transaction(client: pg.Client, id: string, session: string, n: number): Promise<boolean> {
    const operations: Transaction['operations'][number][] = [];
    const first = AT_A_TIME * Math.floor(this.#element / APPENDS);
    const [list, other] = [n, n + 1].map((turn) => LISTS[(first + (turn % AT_A_TIME)) % LISTS.length]!) as [
      string,
      string,
    ];
    let isCommitting = false;
    const finish = (outcome: Transaction['outcome']): void =>
      void this.#history.push({ id, session, outcome, operations });
    try {
      await client.query('begin isolation level repeatable read');
      const { rows } = await client.query<{ elements: number[] }>('select elements from list where id = $1', [
        other,
      ]);
      operations.push({ kind: 'read', list: other, elements: rows[0]!.elements });
      const element = ++this.#element;
      operations.push({ kind: 'append', list, element });
      await client.query('update list set elements = elements || $1::int where id = $2', [element, list]);
      const [from, to] = [1 + (n % ACCOUNTS), 1 + ((n + 1) % ACCOUNTS)];
      await client.query('update account set balance = balance - 1 where id = $1', [from]);
      await client.query('update account set balance = balance + 1 where id = $1', [to]);
      isCommitting = true;
      await client.query('commit');
      finish('committed');
      return true;
    } catch (error) {
      const { code = '' } = error as { code?: string };
      const isLost = code === '' || code.startsWith('57P') || code.startsWith('08');
      finish(isLost && isCommitting ? 'unknown' : 'aborted');
      if (isLost) return false;
      return client.query('rollback').then(
        () => true,
        () => false,
      );
    }
  }
}

async function judge(
  cluster: TestCluster,
  transactions: readonly Transaction[],
  kills: readonly Kill[],
  reached: number,
): Promise<CrashResult> {
  const final: Record<string, Record<string, number[]>> = {};
  const sums: number[] = [];
  for (const [writer, member] of cluster.members.entries()) {
    const client = await member.connect();
    const { rows } = await client.query<{ id: string; elements: number[] }>('select id, elements from list');
    final[`writer ${writer}`] = Object.fromEntries(rows.map(({ id, elements }) => [id, elements]));
    sums.push(Number((await client.query<{ sum: string }>('select sum(balance) from account')).rows[0]!.sum));
    await client.end();
  }
  const history: History = { transactions, final };
  const count = (outcome: Transaction['outcome']) =>
    transactions.filter((one) => one.outcome === outcome).length;
  return {
    kills,
    reached,
    transactions: { committed: count('committed'), aborted: count('aborted'), unknown: count('unknown') },
    anomalies: check(history, { isolation: 'snapshot' }),
    sums,
  };
}
