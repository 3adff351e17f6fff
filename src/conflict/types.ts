/** What `dbproxy conflict` comes to: the JSON contract `dbproxy.conflict/1`. */
import type { Verdict, WriterSummary } from '../control/api.js';

export const SCENE_NAMES = ['hot-row', 'unique-key', 'foreign-key', 'split-vote'] as const;
export type SceneName = (typeof SCENE_NAMES)[number];

/** One kind of conflict, made on purpose. */
export interface SceneResult {
  readonly scene: SceneName;
  /** What the clients did: `4 clients on 2 writers, 40 increments of one row`. */
  readonly about: string;
  /** What has to hold afterwards, on every writer, and what was found there. */
  readonly expected: string;
  readonly found: string;
  readonly ok: boolean;
  /** Tries, and those of them that committed. */
  readonly transactions: number;
  readonly committed: number;
  /** Tries that ended with SQLSTATE 40001. */
  readonly conflicts: number;
  /** What a client that lost was told first; null: none lost. */
  readonly clientSaw: ClientError | null;
  /** Those of the primary meanwhile. */
  readonly verdicts: readonly Verdict[];
}

export interface ClientError {
  /** `w2` */
  readonly writer: string;
  readonly sqlstate: string;
  readonly message: string;
  readonly detail: string;
  readonly hint: string;
}

/** `dbproxy.conflict/1` */
export interface ConflictResult {
  readonly schema: 'dbproxy.conflict/1';
  readonly instance: string;
  readonly writers: readonly Pick<WriterSummary, 'id' | 'instance' | 'port'>[];
  /** Tries. Each either committed, or its client was told why not. */
  readonly transactions: number;
  readonly committed: number;
  /** Tries that ended with SQLSTATE 40001, and how many of them were tried again. */
  readonly conflicts: number;
  readonly retries: number;
  /** Verdicts of the primary, and those on proposals that had only some of the votes. */
  readonly adjudicated: number;
  readonly splitVotes: number;
  /** Acknowledged commits that are not there, over all writers. */
  readonly lostUpdates: number;
  /** Two writers do not hold the same rows, once nothing is under way. */
  readonly diverged: boolean;
  /** Tables that do not agree; empty where nothing diverged. */
  readonly divergedTables: readonly string[];
  /** COMMIT of those that committed: from sent to answered. */
  readonly commitMs: { readonly p50: number | null; readonly p99: number | null };
  readonly scenes: readonly SceneResult[];
  readonly verdicts: readonly Verdict[];
  readonly totalMs: number;
}

export interface ConflictOptions {
  /** All scenes without it. */
  readonly scenes?: readonly SceneName[];
  /** A table of the user's and the row of it that is fought over: its value of the primary key, several divided by commas. */
  readonly table?: string;
  readonly key?: string;
  /** Over all writers. */
  readonly clients?: number;
  /** Commits that each client of the hot row is to come to. */
  readonly rounds?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly step: string; readonly detail: string }) => void;
}
