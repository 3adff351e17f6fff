/**
 * Rows 6 and 7: prepared statements, of the protocol (Parse with a name) and of SQL (PREPARE). Their text is in
 * pg_prepared_statements. One that no longer parses is carried as broken: it fails on use, as it would have before.
 *
 * A physical standby has the same catalogs, hence the same type OIDs: they are replayed as numbers. A temporary type has another
 * one there: 0 leaves it to the parser, as the client could have done.
 */
import { arrayElements, encode } from '../protocol/index.js';
import type { Rows } from './channel.js';
import type { ReplayStep, StateKindModule } from './kind.js';
import { listed } from './kind.js';
import { splitStatements, stripLeadingComments } from './sql-statements.js';

export interface PreparedStatement {
  readonly sql: string;
  /** `{23,25}` */
  readonly types: string;
  readonly fromSql: boolean;
  /** It was executed. */
  readonly planned: boolean;
}

export interface PreparedStatements {
  readonly byName: ReadonlyMap<string, PreparedStatement>;
  /** How many there are, when the last one was made, and how many were executed: while that is the same, they are. */
  readonly fingerprint: string;
}

export const preparedStatements: StateKindModule<PreparedStatements> = {
  none: { byName: new Map(), fingerprint: '' },

  *read(_context, previous) {
    const mark: Rows = yield {
      select: [
        `(select pg_catalog.concat(pg_catalog.count(*), ' ', pg_catalog.max(prepare_time), ' ',
           pg_catalog.count(*) filter (where generic_plans + custom_plans > 0)) from pg_catalog.pg_prepared_statement())`,
      ],
    };
    const fingerprint = mark[0]?.[0] ?? '';
    if (previous?.fingerprint === fingerprint) return previous;
    if (fingerprint.startsWith('0 ')) return { byName: new Map(), fingerprint };
    const rows: Rows = yield {
      sql: `select name, statement, array(select case when t.typnamespace = pg_catalog.pg_my_temp_schema() then 0 else p.oid end
          from pg_catalog.unnest(parameter_types::pg_catalog.oid[]) with ordinality p (oid, place)
            left join pg_catalog.pg_type t on t.oid = p.oid order by p.place)::pg_catalog.text, from_sql,
          generic_plans + custom_plans > 0
        from pg_catalog.pg_prepared_statement()`,
    };
    const byName = new Map<string, PreparedStatement>();
    for (const [name, sql, types, fromSql, planned] of rows) {
      byName.set(name ?? '', {
        sql: sql ?? '',
        types: types ?? '{}',
        fromSql: fromSql === 't',
        planned: planned === 't',
      });
    }
    return { byName, fingerprint };
  },

  summarize: ({ byName }) =>
    byName.size === 0
      ? null
      : { count: byName.size, detail: listed(byName.size, 'prepared statement', [...byName.keys()]) },

  counts: ({ byName }) => ({ preparedStatements: byName.size }),
  estimate: ({ byName }) => ({ bytes: 0, ms: byName.size * 0.05 }),

  replay(wanted, there) {
    const steps: ReplayStep[] = [];
    for (const [name, statement] of there.byName) {
      if (!same(statement, wanted.byName.get(name))) steps.push(close(name));
    }
    for (const [name, statement] of wanted.byName) {
      if (!same(statement, there.byName.get(name))) steps.push(prepare(name, statement));
    }
    return steps;
  },
};

const same = (a: PreparedStatement, b: PreparedStatement | undefined): boolean =>
  b !== undefined && a.sql === b.sql && a.types === b.types && a.fromSql === b.fromSql;

/** Close works for statements of either origin. */
const close = (name: string): ReplayStep => ({
  messages: encode.closeStatement(name),
  ends: 'sync',
  what: `prepared statement ${name}`,
  onError: 'fail',
});

const prepare = (name: string, { sql, types, fromSql }: PreparedStatement): ReplayStep => {
  const step = { what: `prepared statement ${name}`, onError: 'carry', statement: name } as const;
  if (!fromSql) {
    const oids = arrayElements(types).map(Number);
    return { ...step, messages: encode.parse(name, sql, oids), ends: 'sync' };
  }
  const text = extractPrepare(sql, name);
  // Not to be told apart from its neighbours: they must not run again, so this one step fails, by name.
  if (text === null) return { what: step.what, messages: NOT_FOUND, ends: 'query', onError: 'fail' };
  const messages = [encode.parse('', text), encode.bind('', '', []), encode.execute()];
  return { ...step, messages: Buffer.concat(messages), ends: 'sync' };
};

const NOT_FOUND = encode.query(
  `do $$begin raise 'its PREPARE cannot be told apart from the statements it came with'; end$$`,
);

/**
 * The PREPARE of `name` out of the text it came in. For a Query of several statements the view shows all of them; running
 * them again would repeat the others. The last one with that name is the one that holds. Null: it cannot be found.
 */
export const extractPrepare = (sql: string, name: string): string | null => {
  if (!sql.includes(';')) return sql;
  // Nobody knows the value of standard_conforming_strings at that time; where it matters, only one reading has the PREPARE.
  const readings = [splitStatements(sql), splitStatements(sql, false)];
  if (readings.every(({ length }) => length <= 1)) return sql;
  for (const statements of readings) {
    const found = statements.filter((text) => preparedName(text) === name).pop();
    if (found !== undefined) return found;
  }
  return null;
};

const preparedName = (statement: string): string | null => {
  const [, rest] = /^prepare\b(.*)$/is.exec(stripLeadingComments(statement)) ?? [];
  const match = /^(?:"((?:[^"]|"")+)"|([^\s("/]+))/.exec(stripLeadingComments(rest ?? ''));
  if (!match) return null;
  const [, quoted, bare] = match;
  return quoted === undefined ? (bare ?? '').toLowerCase() : quoted.replaceAll('""', '"');
};
