/**
 * Row 13: session-level advisory locks; at a safe point no transaction-level ones are left. One query of the gate finds the
 * holders among all held sessions (gate.ts): cheaper than one in each look, and nothing to be recognised in SQL.
 *
 * No view tells how often a lock is held. So it is found out by giving it up, on the old engine, once the target is primary:
 * nobody waits for it there (every session is at a safe point), and nobody goes on there. The locks are taken on the target
 * before any session goes on, so there is no moment at which another session could have one (`shared`).
 *
 * The last unlock of each lock, which fails, leaves a WARNING in the log of the engine that retires.
 */
import { encode } from '../protocol/index.js';
import type { Rows } from './channel.js';
import type { ReplayStep, StateKindModule } from './kind.js';

/** Bound of waiting for one lock on the target, where nobody else can have it, ms. */
const LOCK_TIMEOUT_MS = 2_000;

export interface AdvisoryLock {
  /** A bigint, or a pair of int4: `7`, `1, 2`. */
  readonly key: string;
  readonly shared: boolean;
  /** How often it is held; null: not read yet. */
  readonly count: number | null;
}

export interface AdvisoryLocks {
  readonly locks: readonly AdvisoryLock[];
  /** The backend on which they were counted, and thereby given up; null: none. */
  readonly countedOn: string | null;
}

const NONE: AdvisoryLocks = { locks: [], countedOn: null };

/** pg_locks, lock.h (SET_LOCKTAG_ADVISORY): objsubid 1 is one bigint in two halves, 2 a pair. */
const HELD = `select case objsubid
      when 1 then pg_catalog.format('%s', (classid::pg_catalog.int8 << 32) | objid::pg_catalog.int8)
      else pg_catalog.format('%s, %s', classid::pg_catalog.int4, objid::pg_catalog.int4)
    end as key, mode = 'ShareLock' as shared, classid, objid, objsubid
  from pg_catalog.pg_lock_status()
  where locktype = 'advisory' and granted and pid = pg_catalog.pg_backend_pid()`;

const unlock = (suffix: string): string => `case objsubid
    when 1 then pg_catalog.pg_advisory_unlock${suffix}((classid::pg_catalog.int8 << 32) | objid::pg_catalog.int8)
    else pg_catalog.pg_advisory_unlock${suffix}(classid::pg_catalog.int4, objid::pg_catalog.int4) end`;

/** Each step of the recursion gives up each lock once, until it is not held any more. */
const COUNTED = `with recursive held as materialized (${HELD}),
    given_up as (
      select held.*, 0 as times from held
      union all
      select key, shared, classid, objid, objsubid, times + 1 from given_up
        where case when shared then ${unlock('_shared')} else ${unlock('')} end
    )
  select key, shared, pg_catalog.max(times) from given_up group by key, shared order by key, shared`;

export const advisoryLocks: StateKindModule<AdvisoryLocks> = {
  none: NONE,

  *read({ thorough, contents, holdsLocks }, previous) {
    const known = previous ?? NONE;
    if (contents && (holdsLocks || known.locks.length > 0)) {
      const backend: Rows = yield { select: ['pg_catalog.pg_backend_pid()'] };
      const countedOn = backend[0]?.[0] ?? '';
      // What was counted once is not there to be counted again.
      if (known.countedOn === countedOn) return known;
      const rows: Rows = yield { sql: COUNTED };
      return rows.length === 0 ? NONE : { locks: rows.map(lockOf), countedOn };
    }
    if (!thorough) return known;
    const rows: Rows = yield { sql: `select key, shared, null from (${HELD}) held order by key, shared` };
    return rows.length === 0 ? NONE : { locks: rows.map(lockOf), countedOn: null };
  },

  summarize: ({ locks }) =>
    locks.length === 0
      ? null
      : { count: locks.length, detail: `${locks.length} advisory lock${locks.length === 1 ? '' : 's'}` },

  shared: ({ locks }) => locks.length > 0,
  hasContents: ({ locks }) => locks.length > 0,
  counts: ({ locks }) => ({ advisoryLocks: locks.length }),
  estimate: ({ locks }) => ({ bytes: 0, ms: locks.length * 0.03 }),

  replay(wanted, there) {
    if (wanted === there) return [];
    return [...(there.locks.length > 0 ? [GIVE_UP] : []), ...take(wanted.locks)];
  },
};

const lockOf = ([key, shared, count]: Rows[number]): AdvisoryLock => ({
  key: key ?? '',
  shared: shared === 't',
  count: count === null || count === undefined ? null : Number(count),
});

const step = (sql: string, what: string): ReplayStep => ({
  messages: encode.query(sql),
  ends: 'query',
  what,
  onError: 'fail',
  afterPromotion: true,
});

const GIVE_UP = step('select pg_catalog.pg_advisory_unlock_all()', 'advisory locks');

/** All in one transaction: each commit looks at every lock that is held. */
const take = (locks: readonly AdvisoryLock[]): ReplayStep[] => {
  if (locks.length === 0) return [];
  const calls = [true, false].flatMap((shared) =>
    [1, 2].flatMap((parts) => {
      const some = locks.filter((lock) => lock.shared === shared && lock.key.split(',').length === parts);
      return some.length === 0 ? [] : [lockAll(some, shared, parts)];
    }),
  );
  const begin = `begin isolation level read committed not deferrable;
    set local lock_timeout = ${LOCK_TIMEOUT_MS}; set local statement_timeout = 0`;
  return [step([begin, ...calls, 'commit'].join(';'), 'advisory locks')];
};

/* eslint-disable dbproxy/sql-quoting -- keys and counts are numbers, as the engine has written them */
const lockAll = (locks: readonly AdvisoryLock[], shared: boolean, parts: number): string => {
  const type = parts === 1 ? 'int8' : 'int4';
  const keys = Array.from({ length: parts }, (_, part) => locks.map(({ key }) => key.split(', ')[part]));
  const arrays = [
    ...keys.map((each) => `'{${each.join()}}'::pg_catalog.${type}[]`),
    `'{${locks.map(({ count }) => count ?? 1).join()}}'::pg_catalog.int8[]`,
  ];
  const names = ['a', 'b'].slice(0, parts).join(', ');
  return `select pg_catalog.count(pg_catalog.pg_advisory_lock${shared ? '_shared' : ''}(${names})::pg_catalog.text)
    from rows from (${arrays.map((array) => `pg_catalog.unnest(${array})`).join(', ')}) k (${names}, times),
      pg_catalog.generate_series(1, times)`;
};
/* eslint-enable dbproxy/sql-quoting */
