/**
 * Rows 1 and 16: settings of the session (SET, set_config, SET SESSION CHARACTERISTICS).
 *
 * pg_settings says which were set in the session, but reading it takes 2 ms; reading 186 values takes 0.4 ms. So a session
 * that was looked at before is read as one hash of all values, and pg_settings only when the hash changed or a SET passed by. A
 * set_config() to the value that is there already goes unnoticed, and a value that was set and is reset by now is set on the
 * target: only pg_settings.source tells.
 */
import { encode } from '../protocol/index.js';
import type { Rows } from './channel.js';
import type { ReplayStep, StateKindModule } from './kind.js';
import { keepingLast, listed, literal } from './kind.js';

export interface Setting {
  readonly value: string;
  /** Set in the session itself; else by ALTER ROLE or ALTER DATABASE, as it was when the session began. */
  readonly own: boolean;
}

export interface Settings {
  readonly values: ReadonlyMap<string, Setting>;
  /** Of all values a session could set, set or not. */
  readonly fingerprint: string;
}

/** Characteristics of the current transaction, as an SQL list: never a session's (`transaction_timeout` is one of a session). */
export const OF_A_TRANSACTION = `('transaction_isolation', 'transaction_read_only', 'transaction_deferrable')`;

const fingerprintOf = keepingLast(
  (names) => `(select pg_catalog.md5(pg_catalog.string_agg(pg_catalog.current_setting(n, true), ','))
    from pg_catalog.unnest(${literal(names)}::pg_catalog.text[]) n)`,
);

export const settings: StateKindModule<Settings> = {
  none: { values: new Map(), fingerprint: '' },

  *read({ tracker, settableNames }, previous) {
    const hash: Rows = yield { select: [fingerprintOf(settableNames)] };
    const fingerprint = hash[0]?.[0] ?? '';
    if (previous && previous.fingerprint === fingerprint && !tracker.settingsTouched) return previous;
    tracker.settingsTouched = false;
    const rows: Rows = yield {
      sql: `select name, setting, source = 'session' from pg_catalog.pg_settings
        where source in ('session', 'database', 'user', 'database user')
          and name not in ${OF_A_TRANSACTION}`,
    };
    const values = new Map<string, Setting>();
    for (const [name, value, own] of rows) values.set(name ?? '', { value: value ?? '', own: own === 't' });
    return { values, fingerprint };
  },

  summarize({ values }) {
    const own = [...values].filter(([, setting]) => setting.own).map(([name]) => name);
    return own.length === 0 ? null : { count: own.length, detail: listed(own.length, 'setting', own) };
  },

  counts: ({ values }) => ({ settings: [...values.values()].filter(({ own }) => own).length }),
  estimate: ({ values }) => ({ bytes: 0, ms: values.size * 0.08 }),

  replay(wanted, there) {
    const steps: ReplayStep[] = [];
    for (const [name, { own }] of there.values) if (own && !wanted.values.has(name)) steps.push(reset(name));
    for (const [name, { value }] of inOrder(wanted.values)) {
      if (there.values.get(name)?.value !== value) steps.push(setConfig(name, value));
    }
    return steps;
  },
};

/** client_encoding first: the values that follow are bytes in it. */
const inOrder = (values: ReadonlyMap<string, Setting>): [string, Setting][] =>
  [...values].sort(([a], [b]) => Number(b === 'client_encoding') - Number(a === 'client_encoding'));

/** Would end or fail the connection while it waits on the standby. */
const disturbs = (name: string, value: string | null): boolean => {
  if (name === 'default_transaction_isolation') return value === 'serializable';
  if (name === 'idle_session_timeout') return value !== '0';
  if (name === 'statement_timeout' || name === 'transaction_timeout')
    return value !== '0' && Number(value) < 1_000;
  return false;
};

/** undefined_object, invalid_name: there is no such setting, or its library reserves the prefix and has none of that name. */
export const UNKNOWN_SETTING = ['42704', '42602'];

const SET_CONFIG = 'select pg_catalog.set_config($1, $2, false)';
/** The name in bytes of UTF8. */
const SET_CONFIG_UTF8 = `select pg_catalog.set_config(pg_catalog.convert_from(pg_catalog.decode($1, 'hex'), 'UTF8'), $2, false)`;

export const isAscii = (text: string): boolean => !/[^\x00-\x7f]/.test(text);

/** As a parameter, not as text: the value needs no quoting in whatever encoding it is. Null: RESET. */
export const setConfig = (
  name: string,
  value: string | null,
  lostOn: readonly string[] = UNKNOWN_SETTING,
): ReplayStep => ({
  messages: Buffer.concat([
    ...(isAscii(name)
      ? [encode.parse('', SET_CONFIG), encode.bind('', '', [name, value])]
      : [encode.parse('', SET_CONFIG_UTF8), encode.bind('', '', [Buffer.from(name).toString('hex'), value])]),
    encode.execute(),
  ]),
  ends: 'sync',
  what: `setting ${name}`,
  onError: 'fail',
  setting: name,
  lostOn,
  afterPromotion: disturbs(name, value),
});

const reset = (name: string): ReplayStep => ({
  // eslint-disable-next-line dbproxy/sql-quoting -- nothing is left that needs quotes
  messages: encode.query(`reset ${name.replace(/[^\w.$]/g, '')}`),
  ends: 'query',
  what: `setting ${name}`,
  onError: 'fail',
});
