/**
 * May a copy be used by another build of the server? What the files are laid out like (page size, alignment, checksums, version)
 * the server itself checks against its control file before it starts. What it does not refuse is text that sorts in another
 * way than when the indexes were made: another C library, another ICU, another operating system. That is asked here, of the
 * new server, while nobody depends on it.
 */
import { DbproxyError } from '../errors/index.js';
import { adminQuery, withAdmin, type AdminTarget } from './admin.js';

interface Collation {
  readonly name: string;
  readonly recorded: string | null;
  readonly actual: string | null;
}

/** Without a recorded version nothing can differ: C, and whatever its library does not number. */
const OF_DATABASES = `
  select 'database ' || datname as name, datcollversion as recorded, pg_database_collation_actual_version(oid) as actual
  from pg_database where datallowconn`;

/** Those that something is ordered by: the columns of indexes. */
const OF_INDEXES = `
  select distinct 'collation ' || c.collname || ' of ' || current_database() as name, c.collversion as recorded,
    pg_collation_actual_version(c.oid) as actual
  from pg_index i cross join lateral unnest(i.indcollation) as of_column(oid)
    join pg_collation c on c.oid = of_column.oid
  where c.collprovider <> 'd'`;

/** Throws DBP_ENGINE_INCOMPATIBLE, with what differs. */
export async function assertSameCollations(standby: AdminTarget): Promise<void> {
  const databases = await adminQuery<Collation>(standby, OF_DATABASES);
  const found = [...databases];
  for (const { name } of databases) {
    const database = name.slice('database '.length);
    try {
      found.push(...(await withAdmin(standby, (query) => query<Collation>(OF_INDEXES), { database })));
    } catch (cause) {
      // Its locale is not there: the server says so when somebody connects.
      throw incompatible(
        standby,
        `database ${database} cannot be used there: ${(cause as Error).message}`,
        cause,
      );
    }
  }
  const different = found.filter(({ recorded, actual }) => recorded !== null && recorded !== actual);
  if (different.length === 0) return;
  const described = different.map(
    ({ name, recorded, actual }) => `${name} has version ${recorded}, there it would be ${actual ?? 'none'}`,
  );
  throw incompatible(standby, `text sorts by other rules: ${described.join('; ')}`);
}

const incompatible = ({ id }: AdminTarget, reason: string, cause?: unknown): DbproxyError =>
  new DbproxyError('DBP_ENGINE_INCOMPATIBLE', { engine: id, reason }, { cause });
