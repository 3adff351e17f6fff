/**
 * Makes pgbench's tables at a scale, without pgbench: rows are generated in the server, keys come after the rows.
 */
import type pg from 'pg';
import { DbproxyError } from '../errors/index.js';
import { onTarget } from './target.js';

/** pgbench's rows per unit of scale. */
const ACCOUNTS_PER_BRANCH = 100_000;
const TELLERS_PER_BRANCH = 10;

export interface InitialiseOptions {
  readonly url: string;
  readonly scale: number;
  readonly onProgress?: (progress: InitialiseProgress) => void;
  readonly signal?: AbortSignal;
}

export interface InitialiseProgress {
  readonly step: 'tables' | 'rows' | 'keys' | 'vacuum';
  /** 0…1 of the whole. */
  readonly fraction: number;
}

/** `dbproxy.workload-init/1` */
export interface InitialiseResult {
  readonly schema: 'dbproxy.workload-init/1';
  readonly scale: number;
  readonly accounts: number;
  readonly ms: number;
}

/** pgbench's columns and types: its filler columns make the rows as wide as TPC-B wants them. */
const TABLES = [
  'DROP TABLE IF EXISTS pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers',
  'CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))',
  'CREATE TABLE pgbench_tellers (tid int NOT NULL, bid int, tbalance int, filler char(84)) WITH (fillfactor = 100)',
  'CREATE TABLE pgbench_accounts (aid int NOT NULL, bid int, abalance int, filler char(84)) WITH (fillfactor = 100)',
  'CREATE TABLE pgbench_branches (bid int NOT NULL, bbalance int, filler char(88)) WITH (fillfactor = 100)',
];
const KEYS = [
  'ALTER TABLE pgbench_branches ADD PRIMARY KEY (bid)',
  'ALTER TABLE pgbench_tellers ADD PRIMARY KEY (tid)',
  'ALTER TABLE pgbench_accounts ADD PRIMARY KEY (aid)',
];
const VACUUM = ['branches', 'tellers', 'accounts', 'history'].map(
  // eslint-disable-next-line dbproxy/sql-quoting -- of the list in the line above
  (table) => `VACUUM ANALYZE pgbench_${table}`,
);

/** Replaces the tables if they exist. An abort ends it between two statements. Throws DBP_WORKLOAD_TARGET. */
export async function initialiseWorkload(options: InitialiseOptions): Promise<InitialiseResult> {
  const { url, scale, onProgress = () => {} } = options;
  if (!Number.isInteger(scale) || scale < 1 || scale * ACCOUNTS_PER_BRANCH > 2 ** 31 - 1) {
    throw new DbproxyError('DBP_USAGE', { reason: `the scale must be between 1 and 21474, not ${scale}` });
  }
  const startMs = performance.now();
  await onTarget(url, async (client) => {
    onProgress({ step: 'tables', fraction: 0 });
    await all(client, TABLES, options.signal);
    await insertRows(client, options);
    onProgress({ step: 'keys', fraction: 0.75 });
    await all(client, KEYS, options.signal);
    onProgress({ step: 'vacuum', fraction: 0.9 });
    await all(client, VACUUM, options.signal);
    onProgress({ step: 'vacuum', fraction: 1 });
  });
  const ms = Math.round(performance.now() - startMs);
  return { schema: 'dbproxy.workload-init/1', scale, accounts: scale * ACCOUNTS_PER_BRANCH, ms };
}

async function insertRows(
  client: pg.Client,
  { scale, onProgress, signal }: InitialiseOptions,
): Promise<void> {
  await all(
    client,
    [
      `INSERT INTO pgbench_branches (bid, bbalance) SELECT bid, 0 FROM generate_series(1, ${scale}) AS bid`,
      `INSERT INTO pgbench_tellers (tid, bid, tbalance)
         SELECT tid, (tid - 1) / ${TELLERS_PER_BRANCH} + 1, 0
         FROM generate_series(1, ${scale * TELLERS_PER_BRANCH}) AS tid`,
    ],
    signal,
  );
  // One statement a branch: progress can be shown, and an abort is heard.
  for (let branch = 0; branch < scale; branch++) {
    const first = branch * ACCOUNTS_PER_BRANCH + 1;
    await all(
      client,
      [
        `INSERT INTO pgbench_accounts (aid, bid, abalance, filler)
           SELECT aid, ${branch + 1}, 0, '' FROM generate_series(${first}, ${first + ACCOUNTS_PER_BRANCH - 1}) AS aid`,
      ],
      signal,
    );
    onProgress?.({ step: 'rows', fraction: (0.75 * (branch + 1)) / scale });
  }
}

async function all(client: pg.Client, statements: readonly string[], signal?: AbortSignal): Promise<void> {
  for (const sql of statements) {
    if (signal?.aborted) throw new DbproxyError('DBP_INTERRUPTED', { signal: 'SIGINT' });
    await client.query(sql);
  }
}
