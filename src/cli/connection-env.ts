/** A connection URL as the environment variables of libpq and of most drivers. */

/** `DATABASE_URL`, and the PG* variables (PostgreSQL manual, "libpq: Environment Variables"). */
export function connectionEnv(url: string): Record<string, string> {
  const { hostname, port, username, password, pathname } = new URL(url);
  return {
    DATABASE_URL: url,
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: decodeURIComponent(username),
    PGPASSWORD: decodeURIComponent(password),
    PGDATABASE: decodeURIComponent(pathname.slice(1)),
  };
}

/** Lines that a POSIX shell can `eval`. */
export const exportLines = (variables: Readonly<Record<string, string>>): string =>
  Object.entries(variables)
    .map(([name, value]) => `export ${name}=${quote(value)}`)
    .join('\n');

const quote = (value: string): string =>
  /^[\w@%+=:,./?&-]+$/.test(value) && !/[&?]/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
