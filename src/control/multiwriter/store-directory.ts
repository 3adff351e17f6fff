/**
 * What the writers of an instance share on disk, in the directory of the first one. Numbers that must never be used twice
 * (epochs, incarnations) are on disk before anybody hears of them.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Quorums } from '../../multiwriter/protocol/index.js';
import type { StoreConfig } from '../../multiwriter/storage/api.js';
import { readJson, writeJson } from '../json-file.js';
import type { InstancePaths } from '../paths.js';
import {
  incarnationRecord,
  processRecord,
  storeRecord,
  type ProcessRecord,
  type StoreRecord,
} from '../records.js';
import type { WriterNumber } from './names.js';

export type StoreNode = StoreConfig['peers'][number];

export class StoreDirectory {
  readonly instance: string;
  readonly #directory: string;
  readonly #sockets: string;

  /** `paths`: of the first writer's instance. */
  constructor(paths: InstancePaths) {
    this.instance = paths.name;
    this.#directory = paths.storeDirectory;
    this.#sockets = paths.storeSocketDirectory;
  }

  /** What the proxies prove themselves by to their engines. */
  get secretFile(): string {
    return join(this.#directory, 'secret');
  }

  /** With the password that may be in it. Where the log is on etcd. */
  get etcdUrlFile(): string {
    return join(this.#directory, 'etcd-url');
  }

  async readEtcdUrl(): Promise<string> {
    return (await readFile(this.etcdUrlFile, 'utf8')).trim();
  }

  async writeEtcdUrl(url: string): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await writeFile(this.etcdUrlFile, `${url}\n`, { mode: 0o600, flush: true });
  }

  nodes({ nodes }: Quorums): StoreNode[] {
    return Array.from({ length: nodes }, (_, index) => this.node(`s${index + 1}`));
  }

  node(node: string): StoreNode {
    return { node, socket: join(this.#sockets, `${node}.sock`) };
  }

  dataOf(node: string): string {
    return join(this.#directory, node);
  }

  logOf(node: string): string {
    return join(this.#directory, `${node}.log`);
  }

  /** Every node that has left a trace here, whatever the record says. */
  async traces(): Promise<StoreNode[]> {
    const names = await readdir(this.#directory).catch(() => []);
    const found = names
      .map((name) => /^(s\d+)(\.json)?$/.exec(name)?.[1])
      .filter((name) => name !== undefined);
    return [...new Set(found)].sort().map((node) => this.node(node));
  }

  async create(nodes: readonly StoreNode[]): Promise<void> {
    await mkdir(this.#sockets, { recursive: true, mode: 0o700 });
    for (const { node } of nodes) await mkdir(this.dataOf(node), { recursive: true, mode: 0o700 });
  }

  /** The store's record; made at the first call. */
  async open(): Promise<StoreRecord> {
    const found = await this.read();
    if (found) return found;
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const made: StoreRecord = {
      schema: 'dbproxy.store/1',
      id: randomUUID(),
      founded: false,
      epoch: 0,
    };
    await writeFile(this.secretFile, `${randomBytes(24).toString('base64url')}\n`, {
      mode: 0o600,
      flush: true,
    });
    await this.write(made);
    return made;
  }

  read(): Promise<StoreRecord | null> {
    return readJson(join(this.#directory, 'store.json'), storeRecord);
  }

  write(record: StoreRecord): Promise<void> {
    return writeJson(join(this.#directory, 'store.json'), record);
  }

  /** An epoch that nobody ever had. */
  async nextEpoch(): Promise<number> {
    const record = await this.open();
    await this.write({ ...record, epoch: record.epoch + 1 });
    return record.epoch + 1;
  }

  /** An incarnation of that writer that nobody ever had. Only its own supervisor asks. */
  async nextIncarnation(writer: WriterNumber): Promise<number> {
    const file = join(this.#directory, `incarnation-${writer}.json`);
    const incarnation = ((await readJson(file, incarnationRecord))?.incarnation ?? 0) + 1;
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await writeJson(file, { schema: 'dbproxy.incarnation/1', incarnation });
    return incarnation;
  }

  readProcess(node: string): Promise<ProcessRecord | null> {
    return readJson(join(this.#directory, `${node}.json`), processRecord);
  }

  writeProcess(node: string, record: ProcessRecord): Promise<void> {
    return writeJson(join(this.#directory, `${node}.json`), record);
  }

  async forgetProcess(node: string): Promise<void> {
    await rm(join(this.#directory, `${node}.json`), { force: true });
  }
}
