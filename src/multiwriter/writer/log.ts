/**
 * The log as a writer sees it: what keeps its transactions, decides, and brings those of the others.
 *
 *   submit ─▶ (it decides) ─▶ effect `decided`        what others commit ─▶ effect `apply`, in an order that suits all
 *
 * Two of them: `QuorumLog`, storage nodes that vote and a primary that decides (quorum-log.ts), and `EtcdLog`, whose transactions
 * decide by themselves (../etcd/log.ts).
 */
import type {
  AdjudicatorEvent,
  Effect,
  Frontier,
  Lsn,
  NodeId,
  Refusal,
  Submission,
  Survey,
  Vector,
  WriterId,
} from '../protocol/index.js';
import type { PeerMessage } from './config.js';

export interface Log {
  /** Transactions are taken while it is `open`. */
  readonly state: 'opening' | 'catching-up' | 'open' | 'fenced';
  /** Handed over, without a gap. */
  readonly reached: Vector;
  /** Submitted and not decided. */
  readonly inFlight: number;
  /** The epoch in which this writer is the primary; null: it is not. */
  readonly leads: number | null;
  readonly primary: { readonly writer: WriterId; readonly epoch: number } | null;
  readonly nodes: readonly { readonly node: NodeId; readonly reachable: boolean }[];

  /** `has`: what the engine has of each stream, without a gap; what it has beyond that, it recognises when it is applied again. */
  begin(has: Vector): void;
  lead(epoch: number): void;
  /** Null: not now. Else its LSN, or what names it until it has one (`LogListener.named`). */
  submit(submission: Submission): Lsn | null;
  /** How far may commits have been acknowledged? The answer goes to `LogListener.frontier`. */
  survey(message: Survey): void;
  /** What another writer's proxy says. */
  hear(message: PeerMessage): void;
  /** Time has passed. `horizon`: no transaction will have a base below it. */
  tick(horizon: Vector): void;
  close(): void;
}

export interface LogListener {
  /** Of a transaction that had none until now: the LSN with which it commits. Before its effect. */
  named(before: Lsn, lsn: Lsn): void;
  effect(effect: Effect): void;
  /** An own transaction met with resistance; its outcome comes as an effect. */
  contested(lsn: Lsn, node: NodeId, refusal: Refusal): void;
  frontier(answer: Frontier): void;
  event(event: AdjudicatorEvent): void;
  /** `why`: it is not; empty where that is not known. */
  reachable(node: NodeId, isReachable: boolean, why?: string): void;
  /** The writer must not go on. */
  stopped(why: 'fenced' | 'diverged', message: string): void;
  toPeers(message: PeerMessage): void;
  /** Is it in the engine, all of what was handed over up to there? */
  hasApplied(upTo: Vector): boolean;
  /** Transactions that have begun, and are not submitted. */
  open(): number;
  /** Whoever waits may look again. */
  changed(): void;
}
