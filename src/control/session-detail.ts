/** One session as deep as it goes: what the proxy knows of it, joined with what its engine says of its backend. */
import { ADMIN_APPLICATION_NAME, withAdmin } from '../engine/index.js';
import { DbproxyError } from '../errors/index.js';
import type { SessionDetail } from '../proxy/control-api.js';
import type { SessionLock, SessionResult } from './api.js';
import type { Instance } from './instance.js';
import type { Proxy } from './proxy-process.js';

/** Beyond what the look itself may take. */
const ANSWER_BOUND_MS = 5_000;
const MAX_LOCKS = 100;

/** Throws DBP_USAGE_UNKNOWN_SESSION. */
export async function sessionDetail(
  instance: Instance,
  proxy: Proxy,
  id: number,
  withinMs: number,
): Promise<SessionResult> {
  const bound = { timeoutMs: withinMs + ANSWER_BOUND_MS };
  const detail = await proxy.rpc.call('inspect', { id, withinMs }, bound);
  if (!detail || detail.session.application === ADMIN_APPLICATION_NAME)
    throw new DbproxyError('DBP_USAGE_UNKNOWN_SESSION', { id });
  const { report, holds, moves } = detail;
  const { unasked, ...session } = detail.session;
  // An engine that does not answer takes nothing away from what the proxy has told.
  const backend = await backendOf(instance, detail).catch(() => UNKNOWN);
  return {
    schema: 'dbproxy.session/1',
    instance: instance.paths.name,
    session: { ...session, query: unasked ? null : backend.query },
    waitsFor: backend.waitsFor,
    transactionMs: backend.transactionMs,
    report,
    holds: holds.map(({ oid, ...item }) => ({
      ...item,
      detail: item.kind === 'settings' ? withUnit(item.detail, backend.units.get(item.name)) : item.detail,
      bytes: oid === undefined ? null : (backend.sizes.get(oid) ?? null),
    })),
    locks: backend.locks,
    moves,
  };
}

interface Backend {
  readonly query: string | null;
  readonly waitsFor: string | null;
  readonly transactionMs: number | null;
  readonly locks: readonly SessionLock[];
  readonly sizes: ReadonlyMap<number, number>;
  /** Of settings that have one: `kB`, `8kB`, `ms`. */
  readonly units: ReadonlyMap<string, string>;
}

const UNKNOWN: Backend = {
  query: null,
  waitsFor: null,
  transactionMs: null,
  locks: [],
  sizes: new Map(),
  units: new Map(),
};

/** A setting's value is read in its unit, without it: `19456` is `19456 kB`. What is 0 or less has a meaning of its own. */
function withUnit(value: string, unit: string | undefined): string {
  const [, factor = '', base = ''] = /^(\d*)(\D+)$/.exec(unit ?? '') ?? [];
  const amount = Number(value);
  if (base === '' || !(amount > 0)) return value;
  return `${amount * Number(factor || 1)} ${base}`;
}

async function backendOf(instance: Instance, { session, holds }: SessionDetail): Promise<Backend> {
  const engine = instance.engine(session.engine);
  if (!engine) return UNKNOWN;
  const oids = holds.flatMap(({ oid }) => oid ?? []);
  return withAdmin(
    engine,
    async (query) => {
      const [activity] = await query<Omit<Backend, 'locks' | 'sizes' | 'units'>>(
        `select nullif(query, '') as query,
                case when state = 'active' and wait_event_type <> 'Client'
                     then wait_event_type || ': ' || wait_event end as "waitsFor",
                case when state <> 'idle' then
                  (extract(epoch from clock_timestamp() - xact_start) * 1000)::float8 end as "transactionMs"
           from pg_stat_activity where pid = $1`,
        [session.backendPid],
      );
      // Its own virtual transaction, which every backend has locked, tells nobody anything.
      const locks = await query<SessionLock>(
        `select mode, coalesce(relation::regclass::text, locktype) as "on", granted from pg_locks
          where pid = $1 and locktype <> 'virtualxid' order by granted, "on", mode limit $2`,
        [session.backendPid, MAX_LOCKS],
      );
      const sizes = await query<{ oid: number; bytes: number }>(
        `select oid::int8::float8 as oid, pg_total_relation_size(oid)::float8 as bytes
           from pg_class where oid = any ($1::oid[])`,
        [oids],
      );
      const settings = holds.flatMap(({ kind, name }) => (kind === 'settings' ? name : []));
      const units = await query<{ name: string; unit: string }>(
        `select name, unit from pg_settings where name = any ($1) and unit is not null`,
        [settings],
      );
      return {
        ...(activity ?? UNKNOWN),
        units: new Map(units.map(({ name, unit }) => [name, unit])),
        locks,
        sizes: new Map(sizes.map(({ oid, bytes }) => [oid, bytes])),
      };
    },
    { database: session.database, timeoutMs: 2_000 },
  );
}
