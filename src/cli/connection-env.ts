/** A connection URL as the environment variables of libpq and of most drivers. */

/** `DATABASE_URL`, and the PG* variables (PostgreSQL manual, "libpq: Environment Variables"). */
export function connectionEnv(url: string): Record<string, string> {
  const { hostname, port, username, password, pathname, searchParams } = new URL(url);
  const sslMode = searchParams.get('sslmode');
  const root = searchParams.get('sslrootcert');
  return {
    DATABASE_URL: url,
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: decodeURIComponent(username),
    PGPASSWORD: decodeURIComponent(password),
    PGDATABASE: decodeURIComponent(pathname.slice(1)),
    ...(sslMode === null ? {} : { PGSSLMODE: sslMode }),
    ...(root === null ? {} : { PGSSLROOTCERT: root }),
  };
}

/** Lines that a POSIX shell can `eval`. */
export const exportLines = (variables: Readonly<Record<string, string>>): string =>
  Object.entries(variables)
    .map(([name, value]) => `export ${name}=${quote(value)}`)
    .join('\n');

const quote = (value: string): string =>
  /^[\w@%+=:,./?&-]+$/.test(value) && !/[&?]/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
