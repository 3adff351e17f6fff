/** Real writers: storage nodes, engines and proxies, each a process of its own. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { killEngine } from '../../../src/control/kill-engine.js';
import { adminQuery, connectAdmin, type EngineRecord } from '../../../src/engine/index.js';
import { checksums, type TableChecksum } from '../../../src/multiwriter/engine/index.js';
import { DEFAULT_QUORUMS, type Policy, quorumsFor } from '../../../src/multiwriter/protocol/index.js';
import type {
  EtcdConfig,
  WriterConfig,
  WriterEvent,
  WriterStatus,
} from '../../../src/multiwriter/writer/config.js';
import type { HandoverResult, WriterHandover } from '../../../src/proxy/control-api.js';
import { connectPg, eventually } from '../../support/clients.js';
import { freePort } from '../../support/free-port.js';
import { TestEngines } from '../../support/engines.js';
import { TestProxy, THIS_BUILD } from '../../support/proxies.js';
import { type StorePlace, TestStore } from '../storage/nodes.js';

const START_BOUND_MS = 40_000;
/** More often than they would without it: tests wait for them. */
const TICK_MS = 50;

export interface ClusterOptions {
  readonly writers?: number;
  readonly policy?: Policy;
  readonly env?: NodeJS.ProcessEnv;
  readonly store?: StorePlace;
  readonly tickMs?: number;
  /** In place of storage nodes. */
  readonly etcd?: EtcdConfig;
  /** Writers that are not there yet, from this one on. */
  readonly absentFrom?: number;
}

export class TestCluster {
  readonly engines: TestEngines;
  /** Null: the log is on etcd. */
  readonly store: TestStore | null;
  readonly members: Member[] = [];
  readonly policy: Policy;
  #epoch = 0;
  leader = 0;

  private constructor(engines: TestEngines, store: TestStore | null, policy: Policy) {
    this.engines = engines;
    this.store = store;
    this.policy = policy;
  }

  static async start({
    writers = 2,
    policy = 'first',
    env = {},
    store: place = {},
    tickMs = TICK_MS,
    etcd,
    absentFrom = writers,
  }: ClusterOptions = {}): Promise<TestCluster> {
    const [engines, store] = await Promise.all([TestEngines.open(), etcd ? null : TestStore.start(place)]);
    const cluster = new TestCluster(engines, store, policy);
    try {
      const secretFile = join(engines.home, 'secret');
      await writeFile(secretFile, 'a secret of this test', { mode: 0o600 });
      const places = await Promise.all(
        Array.from({ length: writers }, async (_, id) => ({
          id,
          port: await freePort(),
          socket: join(engines.home, `w${id}.sock`),
        })),
      );
      for (const { id, port, socket } of places) {
        const engine = await engines.primary();
        await adminQuery(engine, 'alter system set synchronous_commit = off');
        await adminQuery(engine, 'select pg_reload_conf()');
        const config = {
          id,
          writers: places.map((one) => one.id),
          secretFile,
          database: 'postgres',
          nodes: store?.links ?? [],
          quorums: store ? DEFAULT_QUORUMS : quorumsFor(1),
          etcd,
          policy,
          tickMs,
          url: `postgres://127.0.0.1:${port}/`,
          peers: places.filter((one) => one.id !== id).map((one) => ({ id: one.id, socket: one.socket })),
        };
        cluster.members.push(new Member(cluster, engine, port, socket, config, env));
      }
      const there = cluster.members.slice(0, absentFrom);
      await Promise.all(there.map((member) => member.start()));
      await cluster.lead(0);
      await Promise.all(there.map((member) => member.isOpen()));
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  async lead(writer: number): Promise<void> {
    this.leader = writer;
    await this.members[writer]!.call('writer.lead', { epoch: ++this.#epoch });
    await eventually(
      `writer ${writer} to lead`,
      async () => (await this.members[writer]!.status()).leads === this.#epoch,
      START_BOUND_MS,
    );
  }

  /** What the supervisor tells the proxy of a writer that is to be replaced: if it leads, so does its successor. */
  handoverOf(member: Member, asked: Partial<WriterHandover> = {}): WriterHandover {
    const leads = this.members[this.leader] === member;
    return {
      ...member.nextIncarnations(),
      epoch: leads ? ++this.#epoch : null,
      ...{ holdBudgetMs: 1_000, deadlineMs: 40_000, onTimeout: 'rollback' },
      ...asked,
    };
  }

  /** Waits until every writer has what the others have, and compares them. */
  async atRest(): Promise<TableChecksum[]> {
    let all: WriterStatus[] = [];
    await eventually(
      'the writers to be at rest',
      async () => {
        all = await Promise.all(this.members.map((member) => member.status()));
        const [first] = all;
        return all.every(
          ({ reached, queues, state }) =>
            state === 'open' &&
            queues.apply + queues.proposed + queues.waiting === 0 &&
            JSON.stringify(sorted(reached)) === JSON.stringify(sorted(first!.reached)),
        );
      },
      START_BOUND_MS,
    ).catch((cause: unknown) => {
      throw new Error(`not at rest: ${JSON.stringify(all)}`, { cause });
    });
    const sums = await Promise.all(this.members.map((member) => member.checksums()));
    for (const other of sums.slice(1)) {
      if (JSON.stringify(other) !== JSON.stringify(sums[0]))
        throw new Error(`diverged: ${JSON.stringify(sums)}`);
    }
    return sums[0]!;
  }

  async close(): Promise<void> {
    await Promise.all(this.members.map((member) => member.close()));
    await this.store?.close();
    await this.engines.close();
  }
}

const sorted = (vector: object): unknown => Object.entries(vector).sort(([a], [b]) => Number(a) - Number(b));

export class Member {
  /** Changes with a move. */
  engine: EngineRecord;
  readonly port: number;
  readonly socket: string;
  readonly events: WriterEvent[] = [];
  proxy: TestProxy | null = null;
  readonly #cluster: TestCluster;
  readonly #config: Omit<WriterConfig, 'incarnation'>;
  readonly #env: NodeJS.ProcessEnv;
  #incarnation = 0;
  #wasRestarted = false;

  constructor(
    cluster: TestCluster,
    engine: EngineRecord,
    port: number,
    socket: string,
    config: Omit<WriterConfig, 'incarnation'>,
    env: NodeJS.ProcessEnv,
  ) {
    this.#cluster = cluster;
    this.engine = engine;
    this.port = port;
    this.socket = socket;
    this.#config = config;
    this.#env = env;
  }

  /** A new process of its proxy, with a new incarnation. */
  async start(env: NodeJS.ProcessEnv = {}, more: Partial<WriterConfig> = {}): Promise<void> {
    this.proxy = await TestProxy.start(this.#cluster.engines, this.engine, {
      port: this.port,
      controlSocket: this.socket,
      writer: { ...this.#config, incarnation: ++this.#incarnation, ...more },
      env: { ...this.#env, ...env },
    });
    this.#follow();
  }

  #follow(): void {
    void this.proxy?.control
      .call('writer.events', {}, { onProgress: (event) => this.events.push(event) })
      .catch(() => undefined);
  }

  /** `patch --self`: another process of its proxy takes over, as another incarnation. */
  async handOver(asked: Partial<WriterHandover> = {}): Promise<HandoverResult> {
    const result = await this.proxy!.handOver(THIS_BUILD, this.#cluster.handoverOf(this, asked));
    this.#follow();
    return result;
  }

  /** Incarnations that it never had. */
  nextIncarnations(): Pick<WriterHandover, 'incarnation' | 'spare'> {
    this.#incarnation += 2;
    return { incarnation: this.#incarnation - 1, spare: this.#incarnation };
  }

  async isOpen(): Promise<WriterStatus> {
    return eventually(
      `writer ${this.#config.id} to be open`,
      async () => {
        const status = await this.status();
        return status.state === 'open' ? status : null;
      },
      START_BOUND_MS,
    );
  }

  call: TestProxy['control']['call'] = (method, params, options) =>
    this.proxy!.control.call(method, params, options);

  status(): Promise<WriterStatus> {
    return this.call('writer.status', {}, { timeoutMs: 20_000 });
  }

  async connect(config: pg.ClientConfig = {}): Promise<pg.Client> {
    if (!this.proxy) throw new Error('its proxy does not run');
    const { user, password, ...others } = config;
    // pg takes what is in the URL before what is beside it.
    const url = this.proxy.url(user, 'postgres', typeof password === 'string' ? password : undefined);
    return connectPg({ connectionString: url, ...others });
  }

  async checksums(): Promise<TableChecksum[]> {
    const connection = await connectAdmin(this.engine, { timeoutMs: 20_000 });
    try {
      return await checksums(connection);
    } finally {
      await connection.end();
    }
  }

  async kill(): Promise<void> {
    const { proxy } = this;
    this.proxy = null;
    await proxy?.kill();
  }

  /** kill -9 of the engine, a process whose others then end or a container; and a start. */
  async crashEngine(): Promise<void> {
    await this.killEngine();
    await this.startEngine();
  }

  async killEngine(): Promise<void> {
    const { process: postmaster, container } = this.engine;
    await killEngine({ pid: postmaster?.pid ?? null, container: container?.name ?? null });
  }

  async startEngine(): Promise<void> {
    const { provider } = this.#cluster.engines;
    this.engine = await eventually(
      'the engine to start again',
      () => provider.start(this.engine).catch(() => null),
      START_BOUND_MS,
    );
    this.#wasRestarted = true;
  }

  async close(): Promise<void> {
    await this.kill();
    if (this.#wasRestarted) await this.#cluster.engines.provider.stop(this.engine, 'immediate');
  }
}

/** Runs it again for as long as it is told to. */
export async function retrying<T>(work: () => Promise<T>, limit = 10_000): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if ((error as { code?: string }).code !== '40001' || tries >= limit) throw error;
    }
  }
}
