/**
 * Row 14: currval and lastval (commands/sequence.c). No catalog shows them, and both raise 55000 where nothing was drawn, so
 * they are asked inside a DO block that catches it (a caught error is not logged); the answer comes out through search_path,
 * which the surrounding transaction takes back. nextval() sets both; setval() sets currval only. Most sessions have drawn nothing:
 * they are asked for lastval() alone, in a block that is short, because it is parsed anew each time.
 *
 * Which sequence lastval() tells of is known by its value; where several have that, by the lock that lastval() takes on it, the
 * first time in a transaction (lock_and_open_sequence).
 *
 * Replay, per sequence, in a transaction that is rolled back: ALTER SEQUENCE gives it a new file with the value, setval() or
 * nextval() reads it from there. The rollback takes the file back, not what the session remembers, so the shared sequence
 * stays as it was, also for sessions that cached values of it. Values that this session had cached (CACHE n) become gaps.
 * ALTER SEQUENCE needs the sequence's owner, and waits for transactions that drew from it: hence `shared`. A prepared one goes on
 * with no session, and would be waited for in vain: the value cannot move before it is over.
 *
 * The engine of one of several writers keeps its hands off what begins with TO_BE_ROLLED_BACK, and never commits it.
 */
import { encode } from '../protocol/index.js';
import type { Rows } from './channel.js';
import { AS_LOGIN_USER } from './exact.js';
import type { ReplayStep, StateKindModule } from './kind.js';
import { listed, literal } from './kind.js';

/** Each one without a value costs 35 µs to find out, and a lock; a database with more of them is not searched. */
export const MAX_SEQUENCES = 1_000;
/** Bound of waiting for one sequence, ms: other moved sessions hold it for 1 ms each. */
const LOCK_TIMEOUT_MS = 4_000;
/** As after_ddl in multiwriter/engine/sql/ddl.ts looks for it. */
const TO_BE_ROLLED_BACK = '/* dbproxy: to be rolled back */';
const MARK = 'dbproxy ';
const HIDDEN = 'hidden';
/** As a search_path it is shown in quotes. */
const DRAWN = 'dbproxy drawn';

export interface Sequence {
  readonly value: string;
  /** The role to be set for ALTER SEQUENCE, quoted; null: the login user's rights do. */
  readonly owner: string | null;
  readonly temporary: boolean;
}

export interface Sequences {
  /** currval, by qualified and quoted name (`pg_temp.s` if temporary). */
  readonly values: ReadonlyMap<string, Sequence>;
  /** The one that lastval() tells of. */
  readonly last: string | null;
  /** Why it cannot be read or re-created. */
  readonly obstacle: string | null;
}

const NOTHING: Sequences = { values: new Map(), last: null, obstacle: null };

/** Then nothing can be told, and the look fails. Before 55000, which in plpgsql stands for its whole class. */
const NOT_LOCKED = 'when lock_not_available then raise;';

const TELL = `select pg_catalog.current_setting('search_path')`;

/** `dbproxy`, in quotes: lastval() is defined, or is of a sequence that may not be read. */
const HAS_DRAWN = `${AS_LOGIN_USER}; do $dbproxy$
  begin
    begin
      perform pg_catalog.lastval();
    exception
      ${NOT_LOCKED}
      when object_not_in_prerequisite_state then return;
      when insufficient_privilege then null;
    end;
    set local search_path to '${DRAWN}';
  end $dbproxy$;
  ${TELL}`;

/** `dbproxy COUNT LASTVAL OID:CURRVAL …`, in quotes. COUNT: of the sequences that were searched. */
const QUESTION = `${AS_LOGIN_USER}; do $dbproxy$
  declare
    seq pg_catalog.oid;
    last pg_catalog.text;
    found pg_catalog.text;
    searched pg_catalog.int8;
  begin
    begin
      last := pg_catalog.lastval();
    exception
      ${NOT_LOCKED}
      when object_not_in_prerequisite_state then null;
      when insufficient_privilege then last := '${HIDDEN}';
    end;
    select pg_catalog.count(*) into searched from (select from pg_catalog.pg_class c
      where c.relkind operator(pg_catalog.=) 'S' limit ${MAX_SEQUENCES + 1}) s;
    for seq in select c.oid from pg_catalog.pg_class c where c.relkind operator(pg_catalog.=) 'S'
      and (c.relpersistence operator(pg_catalog.<>) 't'
        or c.relnamespace operator(pg_catalog.=) pg_catalog.pg_my_temp_schema())
      and case when c.relkind operator(pg_catalog.=) 'S'
        then pg_catalog.has_sequence_privilege(c.oid, 'usage, select') end
      order by c.oid limit ${MAX_SEQUENCES + 1}
    loop
      begin
        found := pg_catalog.concat(found, ' ', seq, ':', pg_catalog.currval(seq));
      exception
        ${NOT_LOCKED}
        when others then null;
      end;
    end loop;
    perform pg_catalog.set_config('search_path', pg_catalog.concat('"${MARK}', searched, ' ', last, found, '"'), true);
  end $dbproxy$;
  ${TELL}`;

/** After it, lastval() holds a lock on its sequence until the transaction ends. */
const CALL_LASTVAL = `do $dbproxy$
  begin
    perform pg_catalog.lastval();
  exception
    ${NOT_LOCKED}
    when others then null;
  end $dbproxy$;`;
const LOCKED = `c.oid in (select l.relation from pg_catalog.pg_lock_status() l
    where l.pid = pg_catalog.pg_backend_pid() and l.locktype = 'relation' and l.mode = 'RowExclusiveLock')`;

/**
 * Of a sequence `c`: the name of the prepared transaction that has locked it. Of a prepared transaction since the server's start pg_locks
 * shows the virtual transaction that it was; its transaction id is the lock that it has, too.
 */
const PREPARED = `case when exists (select from pg_catalog.pg_prepared_xact()) then
    (select pg_catalog.min(p.gid) from pg_catalog.pg_lock_status() l
      join pg_catalog.pg_lock_status() x on x.virtualtransaction = l.virtualtransaction and x.pid is null
      join pg_catalog.pg_prepared_xact() p on p.transaction = x.transactionid
      where l.locktype = 'relation' and l.relation = c.oid and l.pid is null
        and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())) end`;

/**
 * What is to be known of the sequences to re-create their values; those that vanished are left out. `tied`: also which of them
 * lastval() tells of.
 */
const details = (oids: readonly string[], tied: boolean): string => `${tied ? CALL_LASTVAL : ''} select c.oid,
    pg_catalog.concat(case when c.relpersistence = 't' then 'pg_temp' else pg_catalog.quote_ident(n.nspname) end,
      '.', pg_catalog.quote_ident(c.relname)),
    c.relpersistence = 't',
    case when not pg_catalog.pg_has_role(c.relowner, 'usage') then pg_catalog.quote_ident(o.rolname) end,
    (pg_catalog.pg_has_role(c.relowner, 'usage') or pg_catalog.pg_has_role(c.relowner, 'set'))
      and pg_catalog.has_schema_privilege(u.rolname, n.oid, 'usage')
      and pg_catalog.has_sequence_privilege(u.rolname, c.oid, 'update'),
    ${tied ? LOCKED : 'false'},
    ${PREPARED}
  from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_roles o on o.oid = c.relowner
    join pg_catalog.pg_roles u on u.rolname =
      case when pg_catalog.pg_has_role(c.relowner, 'usage') then current_user else o.rolname end
  where c.oid in (${oids.join(', ')}) order by c.oid`;

export const sequences: StateKindModule<Sequences> = {
  none: NOTHING,

  *read({ thorough, tracker }, previous) {
    const always = thorough || tracker.setvalSeen || (previous?.values.size ?? 0) > 0;
    if (!always) {
      const drawn: Rows = yield { sql: HAS_DRAWN };
      if (drawn[0]?.[0] !== `"${DRAWN}"`) return NOTHING;
    }
    const answer: Rows = yield { sql: QUESTION };
    const [text] = answer[0] ?? [];
    if (!text?.startsWith(`"${MARK}`)) return NOTHING;
    const [count = '', last = '', ...found] = text.slice(MARK.length + 1, -1).split(' ');
    if (last === HIDDEN)
      return { ...NOTHING, obstacle: 'lastval() of a sequence that the session may not read' };
    if (Number(count) > MAX_SEQUENCES && last !== '')
      return { ...NOTHING, obstacle: `currval() among more than ${MAX_SEQUENCES} sequences` };
    if (found.length === 0) return NOTHING;
    const byOid = new Map(found.map((pair) => pair.split(':') as [string, string]));
    const tied = [...byOid.values()].filter((value) => value === last).length > 1;
    const rows: Rows = yield { sql: details([...byOid.keys()], tied) };
    return stateOf(rows, byOid, last);
  },

  summarize: ({ values, obstacle }) =>
    values.size === 0 && obstacle === null
      ? null
      : {
          count: Math.max(values.size, 1),
          detail: listed(values.size, 'sequence value', [...values.keys()]),
        },

  obstacle: ({ obstacle }) => obstacle,
  // Transactions of sessions that went on already would hold the sequences that ALTER SEQUENCE waits for.
  shared: ({ values }) => [...values.values()].some(({ temporary }) => !temporary),
  // A temporary one is of its schema, whose mark tells (temp-objects.ts).
  othersCanChange: ({ values, obstacle }) =>
    obstacle !== null || [...values.values()].some(({ temporary, owner }) => !temporary || owner !== null),
  counts: ({ values }) => ({ sequences: values.size }),
  estimate: ({ values }) => ({ bytes: 0, ms: values.size * 0.4 }),

  replay(wanted, there) {
    const gone = [...there.values.keys()].some((name) => !wanted.values.has(name));
    const anew = gone || (wanted.last === null && there.last !== null);
    const from = anew ? NOTHING : there;
    const steps = [...wanted.values]
      .filter(([name, { value }]) => name !== wanted.last && from.values.get(name)?.value !== value)
      .map(([name, sequence]) => restore(name, sequence, 'setval'));
    const last = wanted.last === null ? undefined : wanted.values.get(wanted.last);
    if (
      wanted.last !== null &&
      last &&
      (from.last !== wanted.last || from.values.get(wanted.last)?.value !== last.value)
    )
      steps.push(restore(wanted.last, last, 'nextval'));
    return anew ? [DISCARD, ...steps] : steps;
  },
};

const stateOf = (rows: Rows, byOid: ReadonlyMap<string, string>, last: string): Sequences => {
  const values = new Map<string, Sequence>();
  const foreign: string[] = [];
  const locked: string[] = [];
  const named = rows.find((row) => row[5] === 't')?.[1];
  for (const [oid, name, temporary, owner, possible, , prepared] of rows) {
    const sequence = {
      value: byOid.get(oid ?? '') ?? '',
      owner: owner ?? null,
      temporary: temporary === 't',
    };
    values.set(name ?? '', sequence);
    if (possible !== 't') foreign.push(name ?? '');
    if (prepared) locked.push(`${name}, which the prepared transaction '${prepared}' has locked`);
  }
  const ofLast = named ?? [...values].find(([, { value }]) => value === last)?.[0] ?? null;
  if (foreign.length > 0)
    return {
      values,
      last: ofLast,
      obstacle: `currval of ${foreign.join(', ')}: not owned by the login user`,
    };
  if (locked.length > 0) return { values, last: ofLast, obstacle: `currval of ${locked.join(', ')}` };
  if (last !== '' && ofLast === null)
    return { values, last: null, obstacle: 'lastval() of a sequence that the session may not read' };
  return { values, last: ofLast, obstacle: null };
};

/* eslint-disable dbproxy/sql-quoting -- name and owner come quoted from the engine (quote_ident), the value is a number of it */
/** Bounds as wide as they get: the value may be out of those the sequence has by now. */
const restore = (name: string, { value, owner }: Sequence, by: 'setval' | 'nextval'): ReplayStep => ({
  messages: encode.query(`${TO_BE_ROLLED_BACK} begin isolation level read committed read write not deferrable;
    set local lock_timeout = ${LOCK_TIMEOUT_MS}; set local statement_timeout = 0;
    ${owner === null ? '' : `set local role ${owner};`}
    alter sequence ${name} as pg_catalog.int8 increment 1 cache 1
      minvalue -9223372036854775808 maxvalue 9223372036854775807 start ${value} restart ${value};
    select pg_catalog.${by}(${literal(name)}::pg_catalog.regclass${by === 'setval' ? `, ${value}, true` : ''});
    rollback`),
  ends: 'query',
  what: `currval of ${name}`,
  onError: 'fail',
  afterPromotion: true,
});
/* eslint-enable dbproxy/sql-quoting */

const DISCARD: ReplayStep = {
  messages: encode.query('discard sequences'),
  ends: 'query',
  what: 'currval of sequences',
  onError: 'fail',
  afterPromotion: true,
};
