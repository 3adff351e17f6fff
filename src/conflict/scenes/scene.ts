/** What a scene works with: clients, and tables of its own, whose rows come from the primary to the others by the log. */
import type { WriterSummary } from '../../control/api.js';
import type { Tally, WriterClient } from '../clients.js';
import type { ConflictOptions, SceneResult } from '../types.js';

export interface SceneContext {
  readonly instance: string;
  readonly writers: readonly WriterSummary[];
  /** One client on each writer, for what is not counted. */
  readonly observers: readonly WriterClient[];
  /** The one of them on the primary: definitions go through it. */
  readonly primary: WriterClient;
  readonly tally: Tally;
  readonly options: ConflictOptions;
  readonly clients: number;
  readonly rounds: number;
  /** Verdicts so far on votes that were split. */
  readonly splitVotes: () => number;
  readonly signal: AbortSignal;
  /** The log is gone: clients that wait for it are ended. */
  readonly gone: AbortSignal;
}

export type SceneEnd = Pick<SceneResult, 'about' | 'expected' | 'found' | 'ok'> & {
  /** Acknowledged commits that are missing, on the writer that misses most. */
  readonly lost: number;
};
export type Scene = (context: SceneContext) => Promise<SceneEnd>;

/** Does something on the primary, and waits until every writer has it. */
export async function prepare(
  { observers, primary, signal, gone }: SceneContext,
  statements: readonly string[],
  ready: { readonly sql: string; readonly equals: string },
): Promise<void> {
  for (const sql of statements) await primary.query(sql);
  for (const observer of observers) await eventually(observer, ready.sql, ready.equals, signal, gone);
}

/** What every writer says in the end, in words; it is waited for `expected` as long as it may take to apply. */
export async function everywhere(
  { observers, signal, gone }: SceneContext,
  sql: string,
  expected: string,
): Promise<readonly string[]> {
  return Promise.all(observers.map((observer) => eventually(observer, sql, expected, signal, gone, false)));
}

const APPLIED_WITHIN_MS = 15_000;
const POLL_MS = 20;

async function eventually(
  client: WriterClient,
  sql: string,
  expected: string,
  signal: AbortSignal,
  gone: AbortSignal,
  must = true,
): Promise<string> {
  const end = performance.now() + APPLIED_WITHIN_MS;
  for (;;) {
    const [row] = await client
      // eslint-disable-next-line dbproxy/sql-quoting -- SQL of a scene, which is ours
      .query<{ is: string | null }>(`select (${sql})::text as is`)
      .catch((error: unknown) => {
        if (must && !gone.aborted && performance.now() < end) return [];
        throw error;
      });
    const found = row?.is ?? 'nothing';
    if (found === expected || performance.now() > end || signal.aborted) return found;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

export const inWords = ({ writers }: Pick<SceneContext, 'writers'>, found: readonly string[]): string =>
  new Set(found).size === 1
    ? `${found[0]} on every writer`
    : found.map((one, index) => `${one} on ${writers[index]?.id}`).join(', ');
