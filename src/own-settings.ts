/**
 * Settings of our own connections to an engine, said when they are opened: what a user has set for the role, the database or the server, or
 * PGOPTIONS in our environment, would end them, have them act as somebody else, or find look-alikes of catalog functions.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  search_path: 'pg_catalog',
  role: 'none',
  // A library that is missing refuses every login.
  session_preload_libraries: '',
  local_preload_libraries: '',
  idle_session_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  statement_timeout: '0',
  lock_timeout: '0',
  tcp_user_timeout: '0',
  exit_on_error: 'off',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  default_transaction_deferrable: 'off',
  row_security: 'on',
  lc_messages: 'C',
  standard_conforming_strings: 'on',
  backslash_quote: 'safe_encoding',
  array_nulls: 'on',
  transform_null_equals: 'off',
  quote_all_identifiers: 'off',
  datestyle: 'ISO',
  intervalstyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
};

/** An older server turns away who names one that it does not have. */
const SINCE: readonly (readonly [major: number, name: string, value: string])[] = [
  [16, 'debug_parallel_query', 'off'],
  [17, 'transaction_timeout', '0'],
];

/** For `options` of a startup packet. `postgres`: the server's version; undefined: not known yet. */
export function ownSettings(
  postgres: string | undefined,
  more: Readonly<Record<string, string>> = {},
): string {
  const major = Number.parseInt(postgres ?? '', 10);
  const newer = SINCE.filter(([since]) => major >= since).map(([, name, value]) => [name, value] as const);
  return [...Object.entries({ ...SETTINGS, ...more }), ...newer]
    .map(([name, value]) => `-c ${name}=${value.replaceAll(' ', '\\ ')}`)
    .join(' ');
}
