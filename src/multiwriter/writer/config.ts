/**
 * What the proxy of a writer is told, and what it can be asked (types only): `writer` in the proxy's configuration, and methods
 * `writer.…` on its control socket.
 *
 * Who starts it gives each start an incarnation of its own and each primary an epoch of its own, both counted up and on disk before
 * they are used. The engine runs with `synchronous_commit = off` (the log is the truth). Its database is made a writer's by the proxy
 * itself at its first `route`; after a switchover the applier follows to the new engine by itself.
 */
import type {
  AdjudicatorEvent,
  Facts,
  Lsn,
  NodeId,
  Policy,
  Quorums,
  Refusal,
  Ruling,
  ToPrimary,
  Vector,
  WriterId,
} from '../protocol/index.js';
import type { TransactionFacts } from './outcomes.js';

export interface EtcdConfig {
  /** Which store: what is on etcd names it. */
  readonly store: string;
  /** File (0600) with the URL, which may hold a password. */
  readonly urlFile: string;
}

export interface WriterConfig {
  /** 0 … 15, its own for as long as the store exists. */
  readonly id: WriterId;
  /** All of them, this one included. */
  readonly writers: readonly WriterId[];
  /** From 1; higher at every start of the proxy's process. */
  readonly incarnation: number;
  /** File (0600) with the secret that its engine's guard knows: any text of 16 characters or more, the same at every start. */
  readonly secretFile: string;
  /** The database that is written by several; sessions in others are not certified. */
  readonly database: string;
  readonly nodes: readonly { readonly node: NodeId; readonly socket: string }[];
  readonly quorums: Quorums;
  /** The log is on etcd instead of storage nodes: `nodes` is empty, and `quorums` those of a single one. */
  readonly etcd?: EtcdConfig | undefined;
  readonly policy: Policy;
  /** Where its clients connect, without user and password: for people, in the hints of the other writers. */
  readonly url?: string;
  /** The other writers: control sockets of their proxies. They need not run yet. */
  readonly peers: readonly { readonly id: WriterId; readonly socket: string }[];
  /** How often what is missing is asked for again, ms; default 200. */
  readonly tickMs?: number;
  /** So long a read waits for what it has to see, ms; default 10 000. */
  readonly readWaitMs?: number;
}

export type WriterState =
  /** No engine yet, or it is away. */
  | 'without-engine'
  /** Its incarnation is on its way into the decision log. */
  | 'opening'
  /** What its predecessor left is applied. */
  | 'catching-up'
  | 'open'
  /** It must not go on: `why` says what to do. Reads and writes are refused. */
  | 'stopped';

export interface WriterStatus {
  readonly id: WriterId;
  /** As in the configuration. */
  readonly url: string | null;
  readonly incarnation: number;
  readonly state: WriterState;
  /** Only when stopped: fenced (a newer incarnation runs), or its engine is not what the log says. */
  readonly why: { readonly kind: 'fenced' | 'diverged'; readonly message: string } | null;
  /** The epoch it leads; null: it is not the primary. */
  readonly leads: number | null;
  /** The primary, as far as it is known here. */
  readonly primary: { readonly writer: WriterId; readonly epoch: number } | null;
  /** What was handed to the engine of each writer, without a gap. */
  readonly reached: Vector;
  /** What is in the engine, on disk, without a gap. */
  readonly durable: Vector;
  readonly queues: {
    /** Own transactions that are not decided. */
    readonly proposed: number;
    /** Wait before they are proposed: the writer is not open, or has too much to apply. */
    readonly waiting: number;
    /** Transactions of others that the engine has not got yet. */
    readonly apply: number;
    readonly applyBytes: number;
  };
  readonly totals: {
    readonly committed: number;
    /** Own, that lost against another writer. */
    readonly refused: number;
    readonly applied: number;
    /** Sessions that stood in the way of another writer's commit. */
    readonly rolledBack: number;
  };
  readonly nodes: readonly { readonly node: NodeId; readonly reachable: boolean }[];
}

/** What a writer tells people, as it happens. `at`: ISO 8601. */
export type WriterEvent = { readonly at: string; readonly writer: WriterId } & (
  | AdjudicatorEvent
  /** A node did not vote for an own transaction. */
  | {
      readonly kind: 'contested';
      readonly lsn: Lsn;
      readonly node: NodeId;
      readonly refusal: Refusal;
      readonly session: number;
      readonly about: string;
    }
  /** An own transaction is decided, after the primary was asked or a node had refused it. */
  | {
      readonly kind: 'settled';
      readonly lsn: Lsn;
      readonly outcome: 'commit' | 'abort';
      readonly ruling: Ruling | null;
      readonly session: number;
    }
  /** What the client of a transaction that lost was told. */
  | {
      readonly kind: 'refused';
      readonly lsn: Lsn | null;
      readonly session: number;
      readonly sqlstate: string;
      readonly message: string;
      readonly detail: string;
    }
  /** A session kept another writer's commit waiting, and was not proposed yet. */
  | { readonly kind: 'rolled-back'; readonly lsn: Lsn; readonly session: number; readonly waitedMs: number }
  /** Something that is none of our sessions keeps another writer's commit waiting. */
  | { readonly kind: 'apply-waits'; readonly lsn: Lsn; readonly backend: number; readonly waitedMs: number }
  | { readonly kind: 'opened'; readonly incarnation: number }
  /** It makes way for another incarnation, or for nobody. */
  | { readonly kind: 'closed' }
  | { readonly kind: 'stopped'; readonly why: 'fenced' | 'diverged'; readonly message: string }
  /** `why`: it is not; empty where that is not known. */
  | { readonly kind: 'node'; readonly node: NodeId; readonly reachable: boolean; readonly why: string }
);

/** What the proxies of writers say to each other. Any of it may be lost. */
export type PeerMessage =
  ToPrimary | Facts | { readonly kind: 'primary'; readonly writer: WriterId; readonly epoch: number };

/** Part of the proxy's API. A proxy that is no writer's refuses them. */
export interface WriterApi {
  'writer.status': { params: Record<string, never>; result: WriterStatus };
  /** Becomes the primary, with an epoch that nobody ever had. Returns at once; the event `leads` tells when it does. */
  'writer.lead': { params: { readonly epoch: number }; result: null };
  /** Events from now on, as progress, until the caller goes. */
  'writer.events': { params: Record<string, never>; result: null; progress: WriterEvent };
  /**
   * Of the primary, which is about to change definitions: nothing is proposed for so long (0: go on). Answers when what was proposed
   * is decided, with the last of it.
   */
  'writer.quiet': {
    params: { readonly forMs: number };
    result: { readonly writer: WriterId; readonly upTo: Lsn };
  };
  /** For `dbproxy.txn_status`; null: it is not open. */
  'writer.transactions': { params: Record<string, never>; result: TransactionFacts | null };
  /** Of the other writers' proxies. */
  'writer.tell': { params: { readonly messages: readonly PeerMessage[] }; result: null };
}
