/** What a storage node's socket understands. */
import type { Facts, FromNode, NodeId, NodeSend, Quorums, ToNode, WriterId } from '../protocol/index.js';

/**
 * Bytes that wait on a connection whose other end does not read, before what is said is dropped instead. It is said again at ticks,
 * or fetched.
 */
export const MAX_BEHIND_BYTES = 64 * 1024 * 1024;

export interface StoreConfig {
  /** Which store, among all that ever were: a node's log names it. */
  readonly store: string;
  readonly node: NodeId;
  readonly directory: string;
  readonly socket: string;
  readonly quorums: Quorums;
  readonly peers: readonly { readonly node: NodeId; readonly socket: string }[];
  /** A new store: the node may begin with an empty log. Otherwise an empty directory means that votes were lost. */
  readonly isNew: boolean;
  /** How often the node catches up and looks after what is undecided. */
  readonly tickMs?: number;
}

/** News that nobody asked for: for the writers, and for the primary among them. */
export type News = Extract<NodeSend, { to: 'writers' | 'primary' }>;

export type Service =
  /** Asks the others whether it has all it once had; does not vote yet. */
  | { readonly kind: 'checking' }
  | { readonly kind: 'in-service' }
  /** Answers nothing but this, until its disk takes writes again. */
  | { readonly kind: 'out-of-service'; readonly why: string };

export interface NodeStatus {
  readonly node: NodeId;
  readonly pid: number;
  readonly service: Service;
  /** Records ever written. */
  readonly position: number;
  readonly logBytes: number;
  readonly syncs: number;
  readonly undecided: number;
  readonly entries: number;
  readonly keys: number;
  readonly epoch: number;
  readonly slot: number;
  /** How late one writer's proposals reach it on purpose; null: they do not. */
  readonly delayMs: number | null;
}

export interface StoreApi {
  /** In that order. Answers when what the answers rest on is on disk. */
  tell: { params: readonly ToNode[]; result: readonly FromNode[] };
  /** What the primary has to hear, as it comes, until the caller goes. */
  follow: {
    params: Record<string, never>;
    result: null;
    progress: Extract<News, { to: 'primary' }>['message'];
  };
  /** What is decided, as it comes, until the caller goes or the node leaves its service. Without the commits of that writer. */
  read: { params: { readonly writer: WriterId | null }; result: null; progress: Facts };
  /** A peer says how far its log goes, and hears what it once said. */
  hello: {
    params: { readonly node: NodeId; readonly position: number };
    result: { readonly position: number };
  };
  status: { params: Record<string, never>; result: NodeStatus };
  /** That writer's proposals reach the node this late, for so long (held-back.ts); 0 ends it. */
  holdBack: {
    params: { readonly writer: WriterId; readonly delayMs: number; readonly forMs: number };
    result: null;
  };
  shutdown: { params: Record<string, never>; result: null };
}
