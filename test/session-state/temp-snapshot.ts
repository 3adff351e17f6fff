/** Everything that can be observed of a session's temporary objects: catalogs without OIDs, and rows. */
import type { Backend } from './support.js';

const OURS = 'pg_my_temp_schema()';

/** A relation that once had children keeps the mark of it until ANALYZE comes by (manual, pg_class); those it has are what counts. */
const HAS_CHILDREN = 'c.relhassubclass and exists (select from pg_inherits where inhparent = c.oid)';

/** Types, functions, owners, grants, texts; names only where the catalogs have OIDs. */
export const CATALOGS: Readonly<Record<string, string>> = {
  relations: `select c.relname, c.relkind, c.relpersistence, c.relowner::regrole, c.relacl::text, c.reloptions::text, c.relreplident,
      c.relrowsecurity, c.relforcerowsecurity, c.relispartition, am.amname, c.reltablespace, obj_description(c.oid, 'pg_class'),
      pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid), t.reloptions::text,
      case when c.relkind in ('v') then pg_get_viewdef(c.oid) end, ${HAS_CHILDREN},
      c.relkind = 'r' and c.reltuples >= 0
    from pg_class c left join pg_am am on am.oid = c.relam left join pg_class t on t.oid = c.reltoastrelid
    where c.relnamespace = ${OURS} and c.relkind <> 't' order by 1`,
  // Columns of an index keep the names that those of the table had when it was made (tablecmds.c): nobody can use them.
  columns: `select c.relname, case when c.relkind <> 'i' then a.attname end, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
      a.attstorage, a.attcompression, a.attstattarget, a.attacl::text, a.attoptions::text, a.attcollation::regcollation,
      a.attislocal, a.attinhcount, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
    from pg_class c join pg_attribute a on a.attrelid = c.oid left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = ${OURS} and c.relkind <> 't' and a.attnum > 0 and not a.attisdropped order by c.relname, a.attnum`,
  constraints: `select c.conname, c.contype, coalesce(r.relname, t.typname), pg_get_constraintdef(c.oid), c.convalidated, c.condeferrable,
      c.condeferred, c.conislocal, c.coninhcount, obj_description(c.oid, 'pg_constraint')
    from pg_constraint c left join pg_class r on r.oid = c.conrelid left join pg_type t on t.oid = c.contypid
    where c.connamespace = ${OURS} order by 1, 3`,
  indexes: `select x.relname, pg_get_indexdef(i.indexrelid), i.indisclustered, i.indisreplident, i.indisvalid, i.indisprimary
    from pg_index i join pg_class x on x.oid = i.indexrelid where x.relnamespace = ${OURS} order by 1`,
  triggers: `select c.relname, g.tgname, pg_get_triggerdef(g.oid), g.tgenabled, obj_description(g.oid, 'pg_trigger')
    from pg_trigger g join pg_class c on c.oid = g.tgrelid where c.relnamespace = ${OURS} and not g.tgisinternal order by 1, 2`,
  internalTriggers: `select c.relname, g.tgtype, g.tgenabled from pg_trigger g join pg_class c on c.oid = g.tgrelid
    where c.relnamespace = ${OURS} and g.tgisinternal order by 1, 2, 3`,
  rules: `select c.relname, r.rulename, pg_get_ruledef(r.oid), r.ev_enabled
    from pg_rewrite r join pg_class c on c.oid = r.ev_class where c.relnamespace = ${OURS} order by 1, 2`,
  functions: `select p.proname, pg_get_function_identity_arguments(p.oid), pg_get_functiondef(p.oid), p.proowner::regrole, p.proacl::text,
      obj_description(p.oid, 'pg_proc') from pg_proc p where p.pronamespace = ${OURS} and p.prokind <> 'a' order by 1, 2`,
  types: `select y.typname, y.typtype, y.typowner::regrole, y.typacl::text, format_type(y.typbasetype, y.typtypmod), y.typnotnull,
      y.typdefault, y.typcollation::regcollation, obj_description(y.oid, 'pg_type'),
      (select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum e where e.enumtypid = y.oid),
      (select concat(rngsubtype::regtype, rngsubdiff::regproc, rngmultitypid::regtype, rngcollation::regcollation) from pg_range r where r.rngtypid = y.oid)
    from pg_type y where y.typnamespace = ${OURS} and y.typname !~ '^(pg_toast|_)' order by 1`,
  sequences: `select c.relname, s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle,
      d.refobjid::regclass, (select attname from pg_attribute where attrelid = d.refobjid and attnum = d.refobjsubid), d.deptype
    from pg_sequence s join pg_class c on c.oid = s.seqrelid
      left join pg_depend d on d.objid = c.oid and d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
    where c.relnamespace = ${OURS} order by 1`,
  inheritance: `select inhrelid::regclass, inhparent::regclass, inhseqno from pg_inherits
    where inhrelid in (select oid from pg_class where relnamespace = ${OURS} and relkind in ('r', 'p')) order by 1, 3`,
  policies: `select polrelid::regclass::text, polname, polcmd, polpermissive, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
    from pg_policy where polrelid in (select oid from pg_class where relnamespace = ${OURS}) order by 1, 2`,
};

export const snapshot = async (session: Backend): Promise<Record<string, unknown>> => {
  const found: Record<string, unknown> = {};
  // A transaction, so that the session keeps its own.
  await session.run('begin isolation level read committed', 'set local search_path = pg_catalog, pg_temp');
  for (const [name, sql] of Object.entries(CATALOGS)) found[name] = anyNumber(await session.rows(sql));
  const relations = await session.rows(
    `select quote_ident(relname), relkind from pg_class where relnamespace = ${OURS} and relkind in ('r', 'S', 'p') order by 1`,
  );
  for (const [name, kind] of relations) {
    const list = kind === 'S' ? 'last_value, is_called' : '*';
    found[`rows of ${name}`] = await session.rows(`select ${list} from pg_temp.${name}`);
  }
  await session.run('rollback');
  return found;
};

/** The number of the schema is the only thing that may differ; and places of dropped columns. */
const anyNumber = (rows: unknown): unknown =>
  JSON.parse(JSON.stringify(rows).replace(/pg_temp_\d+/g, 'pg_temp'));
