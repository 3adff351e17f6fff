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

const freePeer = async (): Promise<string> => `http://127.0.0.1:${await freePort()}`;
const nameOf = (peer: string): string => `member${new URL(peer).port}`;

export class TestEtcd {
  readonly directory: string;
  readonly port: number;
  readonly #options: readonly string[];
  /** Of its URL; with `ca` it is asked by TLS. */
  readonly #query: string;
  /** URLs of its cluster's members among themselves, its own first. */
  readonly #peers: readonly string[];
  child: ChildProcess | null = null;
  log = '';

  private constructor(
    directory: string,
    port: number,
    peers: readonly string[],
    options: readonly string[],
    query: string,
  ) {
    this.directory = directory;
    this.port = port;
    this.#peers = peers;
    this.#options = options;
    this.#query = query;
  }

  static async start(options: readonly string[] = [], query = ''): Promise<TestEtcd> {
    const etcd = await TestEtcd.#make([await freePeer()], options, query);
    await etcd.start();
    return etcd;
  }

  /** A cluster of three. */
  static async startThree(): Promise<TestEtcd[]> {
    const peers = [await freePeer(), await freePeer(), await freePeer()];
    const members: TestEtcd[] = [];
    for (const own of peers) {
      members.push(await TestEtcd.#make([own, ...peers.filter((peer) => peer !== own)], [], ''));
    }
    // None answers before there are two.
    await Promise.all(members.map((member) => member.start()));
    return members;
  }

  static async #make(peers: readonly string[], options: readonly string[], query: string): Promise<TestEtcd> {
    const directory = await mkdtemp(join(tmpdir(), 'dbpetcd-'));
    return new TestEtcd(directory, await freePort(), peers, options, query);
  }

  async start(): Promise<void> {
    const client = this.endpoint;
    const [own] = this.#peers;
    const cluster = this.#peers.map((peer) => `${nameOf(peer)}=${peer}`).join(',');
    const child = spawn(
      'etcd',
      [
        ...['--data-dir', join(this.directory, 'data'), '--name', nameOf(own!), '--initial-cluster', cluster],
        ...['--listen-client-urls', client, '--advertise-client-urls', client],
        ...['--listen-peer-urls', own!, '--initial-advertise-peer-urls', own!, ...this.#options],
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
  async configOf(prefix: string, url = this.url(prefix)): Promise<EtcdConfig> {
    const urlFile = join(this.directory, `url${prefix.replaceAll('/', '-')}`);
    await writeFile(urlFile, `${url}\n`, { mode: 0o600 });
    await this.withClient((client) =>
      claimPrefix(client, new Layout(prefix), { store: 'test', isNew: true }),
    );
    return { store: 'test', urlFile };
  }

  /** Of a cluster that decides by majority. */
  async leads(): Promise<boolean> {
    const { header, leader } = await this.withClient((client) =>
      client.transport.ask<{ header: { member_id: string }; leader?: string }>('/v3/maintenance/status', {}),
    );
    return header.member_id === leader;
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
