/**
 * The built-in scripts: what pgbench runs under the same names, statement by statement, on pgbench's schema
 * (PostgreSQL manual, pgbench, "What is the “Transaction” Actually Performed in pgbench?").
 */
import { uniform, type Random } from './random.js';

export const SCRIPT_NAMES = ['tpcb-like', 'select-only', 'simple-update'] as const;
export type ScriptName = (typeof SCRIPT_NAMES)[number];

/** What one transaction works on. */
export interface Draw {
  aid: number;
  bid: number;
  tid: number;
  delta: number;
}

export interface Statement {
  /** With `$1` … for the values named by `parameters`. */
  readonly sql: string;
  readonly parameters: readonly (keyof Draw)[];
  /** True: while this one is in flight nobody knows whether the transaction was committed. */
  readonly commits: boolean;
}

export interface Script {
  readonly name: ScriptName;
  readonly statements: readonly Statement[];
  /** Leaves a row in pgbench_history for every committed transaction. */
  readonly writes: boolean;
}

/** pgbench's rows per unit of scale. */
export const ACCOUNTS_PER_BRANCH = 100_000;
export const TELLERS_PER_BRANCH = 10;

const statement = (sql: string, ...parameters: (keyof Draw)[]): Statement => ({
  sql,
  parameters,
  commits: false,
});

const begin = statement('BEGIN;');
const end: Statement = { ...statement('END;'), commits: true };
const updateAccount = statement(
  'UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2;',
  'delta',
  'aid',
);
const selectAccount = statement('SELECT abalance FROM pgbench_accounts WHERE aid = $1;', 'aid');
const updateTeller = statement(
  'UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $2;',
  'delta',
  'tid',
);
const updateBranch = statement(
  'UPDATE pgbench_branches SET bbalance = bbalance + $1 WHERE bid = $2;',
  'delta',
  'bid',
);
const insertHistory = statement(
  'INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP);',
  'tid',
  'bid',
  'aid',
  'delta',
);

export const scripts: Readonly<Record<ScriptName, Script>> = {
  'tpcb-like': {
    name: 'tpcb-like',
    statements: [begin, updateAccount, selectAccount, updateTeller, updateBranch, insertHistory, end],
    writes: true,
  },
  'simple-update': {
    name: 'simple-update',
    statements: [begin, updateAccount, selectAccount, insertHistory, end],
    writes: true,
  },
  'select-only': { name: 'select-only', statements: [selectAccount], writes: false },
};

/** Draws the values of one transaction into `into` (one object per client: no garbage per transaction). */
export function draw(random: Random, scale: number, into: Draw): void {
  into.aid = uniform(random, 1, ACCOUNTS_PER_BRANCH * scale);
  into.bid = uniform(random, 1, scale);
  into.tid = uniform(random, 1, TELLERS_PER_BRANCH * scale);
  into.delta = uniform(random, -5000, 5000);
}
