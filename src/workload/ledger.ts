/**
 * The ledger of the TPC-B-like scripts. Every committed transaction adds one delta to an account, a teller, a branch, and
 * leaves it in the history: if anything was lost, applied twice or in half, the sums part.
 *
 *   Δ sum(abalance) = Δ sum(tbalance) = Δ sum(bbalance) = Δ sum(history.delta)
 *   acknowledged ≤ Δ count(history) ≤ acknowledged + unknown
 *
 * All relative to a baseline, so that runs can follow one another on one database. Nobody else may write meanwhile.
 */
import { onTarget } from './target.js';

export interface LedgerSums {
  readonly accounts: number;
  readonly tellers: number;
  readonly branches: number;
  readonly history: number;
  readonly historyRows: number;
}

/** What a freshly initialised database has. */
export const EMPTY_LEDGER: LedgerSums = { accounts: 0, tellers: 0, branches: 0, history: 0, historyRows: 0 };

export interface LedgerVerdict {
  readonly ok: boolean;
  /** Acknowledged commits of the run, warm-up included. */
  readonly acknowledged: number;
  readonly unknown: number;
  /** Since the baseline. */
  readonly committed: number;
  readonly accounts: number;
  readonly tellers: number;
  readonly branches: number;
  readonly history: number;
  /** What is wrong, in words; empty when ok. */
  readonly problems: readonly string[];
}

/** One statement, hence one snapshot. bigint sums stay below 2^53 for any run that ends. */
const SUMS = `
  SELECT (SELECT coalesce(sum(abalance), 0) FROM pgbench_accounts)::float8 AS accounts,
         (SELECT coalesce(sum(tbalance), 0) FROM pgbench_tellers)::float8 AS tellers,
         (SELECT coalesce(sum(bbalance), 0) FROM pgbench_branches)::float8 AS branches,
         (SELECT coalesce(sum(delta), 0) FROM pgbench_history)::float8 AS history,
         (SELECT count(*) FROM pgbench_history)::float8 AS "historyRows"`;

export const readLedger = (url: string): Promise<LedgerSums> =>
  onTarget(url, async (client) => (await client.query<LedgerSums>(SUMS)).rows[0] ?? EMPTY_LEDGER);

export interface LedgerClaim {
  readonly acknowledged: number;
  readonly unknown: number;
  /** Default: an empty ledger. */
  readonly baseline?: LedgerSums;
  /** What the transactions move: all four tables, or accounts and history alone (simple-update). Default: all. */
  readonly kinds?: ReadonlySet<'all' | 'accounts'>;
}

/** Reads the sums and judges them. */
export async function checkLedger(url: string, claim: LedgerClaim): Promise<LedgerVerdict> {
  return judgeLedger(await readLedger(url), claim);
}

export function judgeLedger(now: LedgerSums, claim: LedgerClaim): LedgerVerdict {
  const { acknowledged, unknown, baseline = EMPTY_LEDGER, kinds = new Set(['all']) } = claim;
  const since = (key: keyof LedgerSums): number => now[key] - baseline[key];
  const history = since('history');
  const committed = since('historyRows');
  const problems: string[] = [];

  const mustBe = (key: 'accounts' | 'tellers' | 'branches', sum: number): void => {
    if (since(key) !== sum) problems.push(`the ${key} add up to ${since(key)}, the history to ${history}`);
  };
  mustBe('accounts', history);
  // In a mixture the history does not say which of its rows moved a teller; that tellers and branches agree is still so.
  const tellers = !kinds.has('all') ? 0 : kinds.has('accounts') ? since('tellers') : history;
  mustBe('tellers', tellers);
  if (since('branches') !== tellers)
    problems.push(`the branches add up to ${since('branches')}, the tellers to ${tellers}`);
  if (committed < acknowledged) {
    problems.push(`${acknowledged - committed} of ${acknowledged} acknowledged transactions are missing`);
  }
  if (committed > acknowledged + unknown) {
    const extra = committed - acknowledged - unknown;
    problems.push(`${extra} transactions are in the history that nobody acknowledged`);
  }
  return {
    ok: problems.length === 0,
    ...{ acknowledged, unknown, committed, history },
    accounts: since('accounts'),
    tellers: since('tellers'),
    branches: since('branches'),
    problems,
  };
}
