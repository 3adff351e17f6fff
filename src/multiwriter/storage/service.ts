/**
 * A storage node at work: the state machine, its log, the journal between the two, and who listens.
 *
 *   checking ─ enough peers remember nothing newer ─▶ in service ─ a write fails ─▶ out of service ─ there is room again ─▶ checking
 *
 * After a failed write the state in memory is ahead of the disk. Nothing of it was told; it is thrown away, and what is on disk is
 * read again.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DbproxyError } from '../../errors/index.js';
import {
  type Facts,
  facts,
  type FromNode,
  type NodeOutput,
  type NodeRecord,
  type NodeSend,
  proposerOf,
  StorageNode,
  type ToNode,
  whyUnsafe,
  type WriterId,
} from '../protocol/index.js';
import type { NodeStatus, Service, StoreConfig } from './api.js';
import { Journal } from './journal.js';
import { isNoRoom } from '../../errors/no-room.js';
import { LogFile } from './log-file.js';
import { Peers } from './peers.js';
import { Remembered } from './remembered.js';

const TICK_MS = 200;
/** The log is rewritten when it is larger than this, and most of it is of transactions that are no longer held. */
const REWRITE_BYTES = 8 * 1024 * 1024;
/** A snapshot takes about this much beside the rows, which it has twice: as a transaction, and as a fact. */
const ENTRY_BYTES = 500;
/** Room there has to be before a node whose disk was full tries again. */
const PROBE_BYTES = 1024 * 1024;

type ForPrimary = Extract<NodeSend, { to: 'primary' }>['message'];

interface Reader {
  /** It has its own commits. */
  readonly writer: WriterId | null;
  readonly tell: (message: Facts) => void;
  readonly end: () => void;
}

export class NodeService {
  readonly #config: StoreConfig;
  readonly #remembered: Remembered;
  readonly #peers: Peers;
  readonly #followers = new Set<(message: ForPrimary) => void>();
  readonly #readers = new Set<Reader>();
  #machine: StorageNode;
  #log: LogFile<NodeRecord>;
  #journal: Journal;
  #service: Service = { kind: 'checking' };
  #timer: NodeJS.Timeout | null = null;
  #isFetching = false;

  private constructor(config: StoreConfig, remembered: Remembered, loaded: Loaded) {
    this.#config = config;
    this.#remembered = remembered;
    this.#peers = new Peers(config.peers);
    this.#machine = loaded.machine;
    this.#log = loaded.log;
    this.#journal = this.#newJournal();
  }

  /**
   * Reads the log and begins to tick. Throws DBP_STORE_QUORUMS, DBP_STORE_DAMAGED, DBP_STORE_FOREIGN, DBP_STORE_LOST.
   * `fatal`: called when it turns out later that the node must not go on.
   */
  static async open(config: StoreConfig, fatal: (error: Error) => void): Promise<NodeService> {
    assertSafe(config);
    const remembered = await Remembered.open(config.directory);
    const service = new NodeService(config, remembered, await load(config));
    const tick = (): void => {
      service
        .#tick()
        .catch(fatal)
        .finally(() => {
          if (service.#timer) service.#timer = setTimeout(tick, config.tickMs ?? TICK_MS);
        });
    };
    service.#timer = setTimeout(tick, 0);
    return service;
  }

  /** The answers, once what they rest on is on disk. */
  async tell(messages: readonly ToNode[]): Promise<readonly FromNode[]> {
    const service = this.#service;
    if (service.kind !== 'in-service') return messages.flatMap((message) => this.#turnAway(message, service));
    return this.#steps(messages.map((message) => this.#machine.receive(message)));
  }

  follow(follower: (message: ForPrimary) => void, signal: AbortSignal): Promise<null> {
    this.#followers.add(follower);
    return new Promise((resolve) =>
      signal.addEventListener('abort', () => {
        this.#followers.delete(follower);
        resolve(null);
      }),
    );
  }

  /** Resolves when it has to be read elsewhere. */
  read(writer: WriterId | null, tell: (message: Facts) => void, signal: AbortSignal): Promise<null> {
    if (this.#service.kind !== 'in-service') return Promise.resolve(null);
    return new Promise((resolve) => {
      const reader: Reader = {
        writer,
        tell,
        end: () => {
          this.#readers.delete(reader);
          resolve(null);
        },
      };
      this.#readers.add(reader);
      signal.addEventListener('abort', reader.end);
    });
  }

  hello(node: string, position: number): { position: number } {
    return { position: this.#remembered.hear(node, position) };
  }

  status(): Omit<NodeStatus, 'delayMs'> {
    const { state } = this.#machine;
    return {
      node: this.#config.node,
      pid: process.pid,
      service: this.#service,
      position: this.#log.position,
      logBytes: this.#log.bytes,
      syncs: this.#journal.syncs,
      undecided: state.undecided.size,
      entries: state.entries.size,
      keys: state.keys.size,
      epoch: state.promised,
      slot: state.log.summary.slot,
    };
  }

  async close(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#peers.close();
    if (this.#service.kind !== 'out-of-service') await this.#journal.close();
    await this.#remembered.save();
    await this.#log.close();
  }

  // --- a step --------------------------------------------------------------------------------------------------------

  /** Sends what is for others; returns what is for the one who asked. */
  #steps(outputs: readonly NodeOutput[]): Promise<FromNode[]> {
    return new Promise((resolve) => {
      const answers: FromNode[] = [];
      let left = outputs.length;
      const release = (sends: readonly NodeSend[]): void => {
        for (const send of sends) {
          if (send.to === 'sender') answers.push(send.message);
          else this.#dispatch(send);
        }
        if (--left === 0) resolve(answers);
      };
      for (const output of outputs) this.#journal.push({ output, release });
      if (left === 0) resolve(answers);
    });
  }

  #dispatch(send: Exclude<NodeSend, { to: 'sender' }>): void {
    switch (send.to) {
      case 'writers':
        for (const reader of this.#readers) tellReader(reader, send.message);
        break;
      case 'primary':
        for (const follower of this.#followers) follower(send.message);
        break;
      case 'peers':
        void this.#fetch(send.message);
        break;
    }
  }

  /** One at a time: the answer may be large, and would come twice. */
  async #fetch(message: Extract<NodeSend, { to: 'peers' }>['message']): Promise<void> {
    if (this.#isFetching) return;
    this.#isFetching = true;
    try {
      for (const answer of await this.#peers.fetch(message)) {
        if (answer.kind === 'facts' && this.#service.kind === 'in-service') {
          await this.#steps([this.#machine.receive(answer)]);
        }
      }
    } finally {
      this.#isFetching = false;
    }
  }

  /** Who proposes is told why there is no vote; to everybody else the node is simply not there. */
  #turnAway(message: ToNode, service: Exclude<Service, { kind: 'in-service' }>): FromNode[] {
    if (message.kind === 'fetch') return [facts([])];
    if (message.kind !== 'propose') return [];
    const refusal =
      service.kind === 'checking' ? ({ kind: 'behind' } as const) : { kind: service.kind, why: service.why };
    return [{ kind: 'vote', node: this.#config.node, lsn: message.proposal.lsn, refusal }];
  }

  // --- time ----------------------------------------------------------------------------------------------------------

  async #tick(): Promise<void> {
    switch (this.#service.kind) {
      case 'checking':
        return this.#check();
      case 'out-of-service':
        return this.#retry();
      case 'in-service':
        void this.#steps([this.#machine.tick()]);
        await this.#peers.hello(this.#config.node, this.#log.position);
        await this.#remembered.save();
        this.#rewriteIfLarge();
    }
  }

  /** Enough of the others to make a quorum with this node must remember nothing that it does not have. */
  async #check(): Promise<void> {
    const { node, quorums } = this.#config;
    const answers = await this.#peers.hello(node, this.#log.position);
    const newest = answers.reduce((a, b) => (b.position > a.position ? b : a), { node, position: 0 });
    if (newest.position > this.#log.position) {
      throw new DbproxyError('DBP_STORE_OLD_DATA', {
        node,
        position: this.#log.position,
        peer: newest.node,
        remembered: newest.position,
      });
    }
    if (answers.length >= quorums.classic - 1) this.#service = { kind: 'in-service' };
  }

  #newJournal(): Journal {
    return new Journal(this.#log, (error) => {
      this.#service = { kind: 'out-of-service', why: error.message };
      for (const reader of this.#readers) reader.end();
    });
  }

  /** Only a full disk gets better by itself; after any other failure somebody has to look. */
  async #retry(): Promise<void> {
    const { directory } = this.#config;
    const probe = join(directory, 'probe');
    try {
      await writeFile(probe, Buffer.alloc(PROBE_BYTES, 1), { flush: true });
    } catch (error) {
      if (isNoRoom(error)) return;
      throw error;
    } finally {
      await rm(probe, { force: true });
    }
    await this.#log.close();
    ({ machine: this.#machine, log: this.#log } = await load(this.#config));
    this.#journal = this.#newJournal();
    this.#service = { kind: 'checking' };
  }

  #rewriteIfLarge(): void {
    const { bytes } = this.#log;
    if (bytes < REWRITE_BYTES || bytes < 3 * this.#snapshotBytes()) return;
    this.#journal.replaceLog(async (records) => {
      const snapshot = this.#machine.state.snapshot();
      try {
        await this.#log.rewrite([{ kind: 'snapshot', snapshot }], records);
        return true;
      } catch (error) {
        // The log as it is goes on; it is tried again.
        if (isNoRoom(error)) return false;
        throw error;
      }
    });
  }

  #snapshotBytes(): number {
    let bytes = 0;
    for (const { proposal } of this.#machine.state.entries.values()) {
      bytes += ENTRY_BYTES + 2 * (proposal?.payload.length ?? 0);
    }
    return bytes;
  }
}

function tellReader({ writer, tell }: Reader, message: Facts): void {
  const news = message.facts.filter(
    (fact) => fact.outcome === 'abort' || proposerOf(fact.proposal) !== writer,
  );
  if (news.length > 0 || message.decisions.length > 0) tell({ ...message, facts: news });
}

interface Loaded {
  readonly machine: StorageNode;
  readonly log: LogFile<NodeRecord>;
}

async function load({ directory, store, node, isNew }: StoreConfig): Promise<Loaded> {
  const found = await LogFile.open<NodeRecord>(directory, store, node);
  if (!found && !isNew) throw new DbproxyError('DBP_STORE_LOST', { node, directory });
  const log = found?.log ?? (await LogFile.create<NodeRecord>(directory, store, node));
  return { machine: new StorageNode(node, found?.records), log };
}

/** Throws DBP_STORE_QUORUMS. */
export function assertSafe({ quorums, peers }: Pick<StoreConfig, 'quorums' | 'peers'>): void {
  const { nodes, fast, classic } = quorums;
  const reason =
    peers.length + 1 === nodes
      ? whyUnsafe(quorums)
      : `${nodes} nodes are meant, and ${peers.length + 1} are named`;
  if (reason) throw new DbproxyError('DBP_STORE_QUORUMS', { sizes: `${nodes}/${fast}/${classic}`, reason });
}
