/** Real storage nodes: processes of their own, which a test may kill, and a writer with its primary that talk to them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  Adjudicator,
  DEFAULT_QUORUMS,
  type KeyUse,
  type Lsn,
  type Outcome,
  type Quorums,
  type ToPrimary,
  type Vector,
  Writer,
  type WriterOutput,
} from '../../../src/multiwriter/protocol/index.js';
import type { NodeStatus, StoreApi, StoreConfig } from '../../../src/multiwriter/storage/api.js';
import { StoreClient } from '../../../src/multiwriter/storage/client.js';
import { RpcClient } from '../../../src/rpc/index.js';
import { eventually } from '../../support/clients.js';
import { killChild } from '../../support/kill-child.js';

const MAIN = fileURLToPath(new URL('../../../dist/multiwriter/storage/main.js', import.meta.url));
const TICK_MS = 30;
/** Three processes start at once, on a machine that may have other things to do. */
const SERVICE_BOUND_MS = 40_000;
/** A killed process leaves its files as they are, on a disk or not; a disk that others keep busy would only take time. */
export const MEMORY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

export class TestNode {
  readonly config: StoreConfig;
  child: ChildProcess | null = null;
  stderr = '';

  constructor(config: StoreConfig) {
    this.config = config;
  }

  /** Starts it and returns at once. */
  spawn(more: Partial<StoreConfig> = {}, env: NodeJS.ProcessEnv = {}): ChildProcess {
    this.stderr = '';
    const config = JSON.stringify({ ...this.config, ...more });
    const child = spawn(process.execPath, [MAIN], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...env, DBPROXY_STORE_CONFIG: config },
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.child = child;
    return child;
  }

  /** Starts it, where that must fail: its exit code. */
  async startFails(more: Partial<StoreConfig> = {}): Promise<unknown> {
    const exit: unknown[] = await once(this.spawn(more), 'exit');
    return exit[0];
  }

  async kill(): Promise<void> {
    const { child } = this;
    this.child = null;
    await killChild(child);
  }

  async status(): Promise<NodeStatus> {
    const rpc = await RpcClient.connect<StoreApi>(this.config.socket);
    try {
      return await rpc.call('status', {}, { timeoutMs: 20_000 });
    } finally {
      rpc.close();
    }
  }

  /** Waits until it serves in that way. */
  async is(kind: NodeStatus['service']['kind']): Promise<NodeStatus> {
    return eventually(
      `${this.config.node} to be ${kind}`,
      async () => {
        const status = await this.status().catch(() => null);
        return status?.service.kind === kind ? status : null;
      },
      SERVICE_BOUND_MS,
    );
  }
}

export interface StorePlace {
  /** A directory; its disk is what a vote waits for. */
  readonly place?: string;
  readonly tickMs?: number;
}

export class TestStore {
  readonly nodes: readonly TestNode[];
  readonly #directory: string;

  private constructor(directory: string, nodes: readonly TestNode[]) {
    this.#directory = directory;
    this.nodes = nodes;
  }

  /** Directories and names; nothing runs yet. `place`: where the directories are made. */
  static async prepare(
    quorums: Quorums = DEFAULT_QUORUMS,
    { place = MEMORY, tickMs = TICK_MS }: StorePlace = {},
  ): Promise<TestStore> {
    const directory = await mkdtemp(join(place, 'dbproxy-store-'));
    const names = Array.from({ length: quorums.nodes }, (_, i) => `s${i + 1}`);
    const links = names.map((node) => ({ node, socket: join(directory, `${node}.sock`) }));
    const nodes = links.map(
      ({ node, socket }) =>
        new TestNode({
          store: 'test',
          node,
          directory: join(directory, node),
          socket,
          quorums,
          peers: links.filter((link) => link.node !== node),
          isNew: true,
          tickMs,
        }),
    );
    for (const { config } of nodes) await mkdir(config.directory);
    return new TestStore(directory, nodes);
  }

  static async start(place: StorePlace = {}): Promise<TestStore> {
    const store = await TestStore.prepare(DEFAULT_QUORUMS, place);
    for (const node of store.nodes) node.spawn();
    try {
      await Promise.all(store.nodes.map((node) => node.is('in-service')));
      return store;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  get links(): StoreConfig['peers'] {
    return this.nodes.map(({ config: { node, socket } }) => ({ node, socket }));
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** A writer without an engine, and the primary beside it, on real nodes. */
export class TestWriter {
  readonly outcomes = new Map<Lsn, Outcome>();
  readonly applied: Lsn[] = [];
  readonly #writer: Writer;
  readonly #adjudicator = new Adjudicator(DEFAULT_QUORUMS, 'first');
  readonly #client: StoreClient;
  readonly #timer: NodeJS.Timeout;
  #primary: TestWriter | null = null;

  /** `primary`: the epoch to lead, or the writer that does. */
  constructor(links: StoreConfig['peers'], id: number, incarnation: number, primary: number | TestWriter) {
    this.#writer = new Writer(id, incarnation, DEFAULT_QUORUMS);
    this.#client = new StoreClient(links, {
      answer: (_node, message) => {
        if (message.kind === 'vote' || message.kind === 'facts') this.#did(this.#writer.receive(message));
        else if (message.kind !== 'frontier') this.#judge(message);
      },
      news: (_node, news) => {
        if (news.to === 'writers') this.#did(this.#writer.receive(news.message));
        else this.#judge(news.message);
      },
    });
    if (primary instanceof TestWriter) this.#primary = primary;
    else this.#tell(this.#adjudicator.lead(primary));
    this.#timer = setInterval(() => {
      this.#did(this.#writer.tick(this.letsForget ? this.#writer.reached : {}));
      this.#tell(this.#adjudicator.tick());
    }, TICK_MS);
  }

  /** Its horizon keeps up with it, so that the nodes forget. */
  letsForget = false;

  get reached(): Vector {
    return this.#writer.reached;
  }

  async opened(): Promise<this> {
    await eventually('the writer to be open', () =>
      Promise.resolve(this.#writer.state === 'open' ? true : null),
    );
    return this;
  }

  propose(keys: readonly KeyUse[], payload = '', base: Vector = this.reached): Lsn {
    const submitted = this.#writer.submit({ base, keys, payload, retries: 0, priority: 0 });
    if (!submitted) throw new Error(`the writer is ${this.#writer.state}`);
    this.#did(submitted.output);
    return submitted.lsn;
  }

  outcome(lsn: Lsn): Promise<Outcome> {
    return eventually(`the outcome of ${lsn}`, () => Promise.resolve(this.outcomes.get(lsn) ?? null));
  }

  close(): void {
    clearInterval(this.#timer);
    this.#client.close();
  }

  #did({ sends, effects }: WriterOutput): void {
    for (const effect of effects) {
      if (effect.kind === 'decided') this.outcomes.set(effect.proposal.lsn, effect.outcome);
      if (effect.kind === 'apply') this.applied.push(effect.proposal.lsn);
    }
    for (const { to, message } of sends) {
      if (to === 'primary') this.#judge(message);
      else if (to === 'nodes') this.#client.toAll(message);
      else this.#client.toOne(message);
    }
  }

  #judge(message: ToPrimary): void {
    if (this.#primary) return this.#primary.#judge(message);
    this.#tell(this.#adjudicator.receive(message));
  }

  #tell({ sends }: ReturnType<Adjudicator['tick']>): void {
    for (const { to, message } of sends) {
      if (to === 'nodes') this.#client.toAll(message);
      else this.#did(this.#writer.receive(message));
    }
  }
}

export const update = (key: string): KeyUse[] => [{ key, mode: 'update' }];
