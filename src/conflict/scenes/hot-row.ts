/** Everybody writes one row, on all writers at once. Each commit leaves a line in a ledger: none of them may be missing. */
import pg from 'pg';
import { DbproxyError } from '../../errors/index.js';
import { WriterClient, type Statement } from '../clients.js';
import { SCHEMA } from '../tables.js';
import { everywhere, inWords, prepare, type Scene, type SceneContext } from './scene.js';

const OWN_TABLE = `${SCHEMA}.hot_row`;
const LEDGER = `${SCHEMA}.ledger`;

export const hotRow: Scene = async (context) => {
  const { writers, tally, clients: count, rounds, signal, options } = context;
  const target = options.table === undefined ? null : await findRow(context, options.table, options.key);
  await prepare(
    context,
    [`delete from ${LEDGER}`, `insert into ${OWN_TABLE} values (1, 0) on conflict (id) do update set n = 0`],
    {
      sql: `select n || '/' || (select count(*) from ${LEDGER}) from ${OWN_TABLE} where id = 1`,
      equals: '0/0',
    },
  );
  const clients = await Promise.all(
    Array.from({ length: count }, (_, index) => {
      const writer = writers[index % writers.length];
      if (!writer) throw new DbproxyError('DBP_INTERNAL', { reason: 'there are no writers' });
      return WriterClient.open(writer, tally, context.gone);
    }),
  );
  const write = target?.statement ?? { sql: `update ${OWN_TABLE} set n = n + 1 where id = 1` };
  let acknowledged = 0;
  try {
    await Promise.all(
      clients.map(async (client, number) => {
        for (let round = 0; round < rounds && !signal.aborted; round++) {
          const line = { sql: `insert into ${LEDGER} values ($1, $2)`, params: [number, round] };
          const ended = await client.persist([write, line], signal);
          if (ended.outcome === 'committed') acknowledged++;
          else if (!signal.aborted && ended.error.sqlstate !== '40001')
            throw new DbproxyError('DBP_CONFLICT_CLIENT', {
              writer: client.writer,
              reason: ended.error.message,
            });
        }
      }),
    );
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
  const lines = await everywhere(context, `select count(*) from ${LEDGER}`, String(acknowledged));
  const counts = target
    ? lines
    : await everywhere(context, `select n from ${OWN_TABLE} where id = 1`, String(acknowledged));
  const all = [...lines, ...counts].map(Number);
  const what = target ? `row ${options.key} of ${options.table}` : 'one counter';
  return {
    about: `${count} clients on ${writers.length} writers, ${rounds} times each: all write ${what}`,
    expected: `${acknowledged} acknowledged, so ${acknowledged}`,
    found: inWords(context, counts),
    ok: all.every((one) => one === acknowledged),
    lost: Math.max(0, acknowledged - Math.min(...all)),
  };
};

/** A write of that row which changes nothing, and yet collides with every other one. Throws DBP_USAGE. */
async function findRow(
  context: SceneContext,
  table: string,
  key: string | undefined,
): Promise<{ statement: Statement }> {
  const [first] = context.observers;
  const refuse = (reason: string): never => {
    throw new DbproxyError('DBP_USAGE', { reason });
  };
  /** What was typed may be no value of its type. */
  const asTyped = async <T>(answer: Promise<T> | undefined, wrong: string): Promise<T | undefined> =>
    answer?.catch((error: unknown) => {
      const { cause } = error as DbproxyError;
      if (cause instanceof pg.DatabaseError && /^(22|42)/.test(cause.code ?? ''))
        return refuse(`${wrong}: ${cause.message}`);
      throw error;
    });
  const found = await asTyped(
    first?.query<{ table: string; own: boolean }>(
      `select c.oid::regclass::text as table,
              n.nspname = any ('{pg_catalog,pg_toast,information_schema,dbproxy}') as own
         from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = to_regclass($1)`,
      [table],
    ),
    `${table} is no table's name`,
  );
  const { table: name, own } = found?.[0] ?? refuse(`there is no table ${table}`);
  if (own) return refuse(`${table} is a table of PostgreSQL or dbproxy, whose rows do not cross writers`);
  const columns = await first?.query<{ column: string; type: string }>(
    `select quote_ident(a.attname) as column, format_type(a.atttypid, a.atttypmod) as type
       from pg_index i cross join unnest(i.indkey) with ordinality k(number, place)
       join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
      where i.indrelid = $1::regclass and i.indisprimary and i.indimmediate order by k.place`,
    [name],
  );
  if (!columns || columns.length === 0)
    return refuse(`${table} has no primary key: several writers refuse UPDATE and DELETE there`);
  const named = columns.map(({ column }) => column).join(', ');
  if (key === undefined) return refuse(`which row of ${table}? --key VALUE of its key (${named})`);
  const values = columns.length === 1 ? [key] : key.split(',').map((value) => value.trim());
  if (values.length !== columns.length)
    return refuse(`the key of ${table} is (${named}): --key has ${values.length} values`);
  const where = columns.map(({ column, type }, index) => `${column} = $${index + 1}::${type}`).join(' and ');
  // eslint-disable-next-line dbproxy/sql-quoting -- names come quoted from the engine (regclass, quote_ident, format_type)
  const row = first?.query<{ is: boolean }>(`select true as is from ${name} where ${where}`, values);
  const rows = await asTyped(row, `${values.join(', ')} is no key of ${table}`);
  if (!rows || rows.length === 0)
    return refuse(`${table} has no row with (${named}) = (${values.join(', ')})`);
  const column = await columnToWrite(context, name);
  if (column === null)
    return refuse(`every column of ${table} is generated: there is none that could be written`);
  // eslint-disable-next-line dbproxy/sql-quoting -- as above
  return { statement: { sql: `update ${name} set ${column} = ${column} where ${where}`, params: values } };
}

/** Rather none of the key, and none that PostgreSQL makes itself: those are set to nothing but DEFAULT. Null: there is none. */
async function columnToWrite({ observers }: SceneContext, table: string): Promise<string | null> {
  const found = await observers[0]?.query<{ column: string }>(
    `select quote_ident(a.attname) as column
       from pg_attribute a left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
      where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped
        and a.attgenerated = '' and a.attidentity <> 'a'
      order by a.attnum = any (i.indkey), a.attnum limit 1`,
    [table],
  );
  return found?.[0]?.column ?? null;
}
