/** A real etcd: a process of the test's own, on free ports of loopback, that a test may kill and start again on its data. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EtcdClient } from '../../../src/multiwriter/etcd/client.js';
import { Layout } from '../../../src/multiwriter/etcd/layout.js';
import { claimPrefix } from '../../../src/multiwriter/etcd/own-place.js';
import { parseEtcdUrl } from '../../../src/multiwriter/etcd/url.js';
import type { EtcdConfig } from '../../../src/multiwriter/writer/config.js';
import { eventually } from '../../support/clients.js';
import { killChild } from '../../support/kill-child.js';
import { freePort } from '../../support/free-port.js';

export const hasEtcd = ((): boolean => {
  try {
    execFileSync('etcd', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

const START_BOUND_MS = 20_000;

export class TestEtcd {
  readonly directory: string;
  readonly port: number;
  readonly #peerPort: number;
  readonly #options: readonly string[];
  /** Of its URL; with `ca` it is asked by TLS. */
  readonly #query: string;
  child: ChildProcess | null = null;
  log = '';

  private constructor(
    directory: string,
    port: number,
    peerPort: number,
    options: readonly string[],
    query: string,
  ) {
    this.directory = directory;
    this.port = port;
    this.#peerPort = peerPort;
    this.#options = options;
    this.#query = query;
  }

  static async start(options: readonly string[] = [], query = ''): Promise<TestEtcd> {
    const directory = await mkdtemp(join(tmpdir(), 'dbpetcd-'));
    const etcd = new TestEtcd(directory, await freePort(), await freePort(), options, query);
    await etcd.start();
    return etcd;
  }

  async start(): Promise<void> {
    const client = this.endpoint;
    const peer = `http://127.0.0.1:${this.#peerPort}`;
    const child = spawn(
      'etcd',
      [
        ...[
          '--data-dir',
          join(this.directory, 'data'),
          '--name',
          'test',
          '--initial-cluster',
          `test=${peer}`,
        ],
        ...['--listen-client-urls', client, '--advertise-client-urls', client],
        ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, ...this.#options],
      ],
      // Its settings may come from the environment, too.
      { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH } },
    );
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (this.log += text));
    this.child = child;
    await this.answers();
  }

  async answers(): Promise<void> {
    await eventually(
      'etcd to answer',
      () => this.withClient((client) => client.get('any').catch(() => null)),
      START_BOUND_MS,
    );
  }

  get endpoint(): string {
    return `${this.#query === '' ? 'http' : 'https'}://127.0.0.1:${this.port}`;
  }

  url(prefix = '/test'): string {
    return `etcd://127.0.0.1:${this.port}${prefix}${this.#query}`;
  }

  async withClient<Result>(work: (client: EtcdClient) => Promise<Result>, url = this.url()): Promise<Result> {
    const client = new EtcdClient(parseEtcdUrl(url));
    try {
      return await work(client);
    } finally {
      client.close();
    }
  }

  /** What proxies are told, with the prefix claimed. */
  async configOf(prefix: string): Promise<EtcdConfig> {
    const urlFile = join(this.directory, `url${prefix.replaceAll('/', '-')}`);
    await writeFile(urlFile, `${this.url(prefix)}\n`, { mode: 0o600 });
    await this.withClient((client) =>
      claimPrefix(client, new Layout(prefix), { store: 'test', isNew: true }),
    );
    return { store: 'test', urlFile };
  }

  /** The keys below a prefix. */
  keys(prefix: string): Promise<string[]> {
    return this.withClient(async (client) => {
      const { found } = await client.get(`${prefix}/`, { end: `${prefix}0`, keysOnly: true });
      return found.map(({ key }) => key);
    });
  }

  /** Forgets all history: what is there now stays. */
  async compact(): Promise<number> {
    return this.withClient(async (client) => {
      const { revision } = await client.get('any');
      await client.transport.ask('/v3/kv/compaction', { revision: String(revision), physical: true });
      return revision;
    });
  }

  /** Takes connections and answers nothing, until it is killed. */
  async stop(): Promise<void> {
    const { child } = this;
    child?.kill('SIGSTOP');
    const threads = `/proc/${child?.pid ?? 0}/task`;
    // Each thread stops by itself.
    const isStopped = (thread: string): boolean =>
      / T \d/.test(readFileSync(join(threads, thread, 'stat'), 'utf8'));
    await eventually('every thread to stop', () => readdirSync(threads).every(isStopped));
  }

  async kill(): Promise<void> {
    const { child } = this;
    this.child = null;
    await killChild(child);
  }

  async close(): Promise<void> {
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }
}
