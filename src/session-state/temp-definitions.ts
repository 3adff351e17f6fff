/**
 * Rows 10 and 11: what is in the temporary schema of a session, read from the catalogs as one JSON value, in exact mode
 * (exact.ts). There search_path is empty, in which the own temporary tables and types are visible all the same: they come out
 * unqualified, and are found again that way. Functions are not (manual 19.11.1): they come out as `pg_temp_3.f`, which
 * `own` makes `pg_temp.f`. Names come out quoted where it is needed.
 */
import { obstacles, type Features } from './temp-obstacles.js';
import { MISPLACED, NEEDS_TEMP, TEMP } from './temp-schema.js';

export interface Definitions {
  /** `pg_temp_3` */
  readonly schema: string;
  readonly types: readonly TypeDefinition[];
  readonly functions: readonly FunctionDefinition[];
  readonly relations: readonly Relation[];
  readonly constraints: readonly Constraint[];
  /** Checks that children got from a parent where they are not valid, and that are valid there, as in a table made later. */
  readonly validated: readonly Pick<Constraint, 'table' | 'name' | 'owner'>[];
  readonly indexes: readonly Index[];
  readonly triggers: readonly Trigger[];
  /** Class and oid of a dependent object, and of what it needs. */
  readonly dependencies: readonly (readonly [string, number, string, number])[];
  /** The language is there, as it is unless somebody dropped it. */
  readonly plpgsql: boolean;
  /** Something has the name of something permanent, which another session finds under that name. */
  readonly shadows: boolean;
  /** Roles, quoted, that ALTER DEFAULT PRIVILEGES gives something. */
  readonly beneficiaries: readonly string[];
  /** Why something cannot be re-created: an object and the reason. */
  readonly obstacles: readonly string[];
}

/** What every kind of object has. */
export interface Owned {
  readonly oid: number;
  readonly name: string;
  /** The role to be set; null: the login's own. */
  readonly owner: string | null;
  readonly comment: string | null;
  /** Null: the default privileges. */
  readonly grants: readonly Grant[] | null;
}

export interface Grant {
  /** Quoted, or PUBLIC. */
  readonly grantee: string;
  readonly privilege: string;
  readonly grantable: boolean;
}

export interface TypeDefinition extends Owned {
  readonly kind: 'e' | 'd' | 'r';
  readonly array: number;
  readonly labels: readonly string[] | null;
  /** What follows `CREATE DOMAIN name AS`, and its constraints. */
  readonly domain: string | null;
  readonly checks: readonly DomainCheck[] | null;
  /** What stands between the parentheses of `CREATE TYPE name AS RANGE`. */
  readonly range: string | null;
  readonly multirange: number | null;
}

export interface DomainCheck {
  readonly name: string;
  readonly definition: string;
  readonly valid: boolean;
  readonly comment: string | null;
}

export interface FunctionDefinition extends Owned {
  readonly definition: string;
  /** FUNCTION or PROCEDURE. */
  readonly word: string;
}

export interface Relation extends Owned {
  readonly kind: 'r' | 'p' | 'v' | 'S' | 'c';
  /** Its owner may read it. */
  readonly readable: boolean;
  readonly rowType: number;
  readonly rowArray: number;
  readonly columns: readonly Column[];
  /** `(fillfactor='70')`, or null. */
  readonly options: string | null;
  readonly partitionKey: string | null;
  readonly bound: string | null;
  /** Quoted names, in order. */
  readonly parents: readonly string[];
  /** Its columns are in another order than one that is created as a child has: it came to its parents later. */
  readonly attached: boolean;
  readonly view: string | null;
  readonly sequence: string | null;
  /** Of a sequence: the column it belongs to, and whether it is an identity. */
  readonly ownedBy: {
    readonly table: string;
    readonly column: string;
    readonly identity: 'a' | 'd' | '';
  } | null;
  readonly replicaIdentity: string;
  readonly analyzed: boolean;
}

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly notNull: boolean;
  /** Of the parents only. */
  readonly inherited: boolean;
  readonly default: string | null;
  /** A default that needs no other object. */
  readonly selfContained: boolean;
  readonly generated: boolean;
  readonly collation: string | null;
  readonly storage: string | null;
  readonly compression: string | null;
  readonly statistics: number | null;
  readonly comment: string | null;
  readonly grants: readonly Grant[] | null;
  /** Its binary form says the same on every server with these catalogs. */
  readonly builtIn: boolean;
}

export interface Constraint {
  readonly table: string;
  readonly name: string;
  readonly type: string;
  readonly definition: string;
  /** A view or function needs it: GROUP BY the primary key. */
  readonly early: boolean;
  readonly comment: string | null;
  readonly owner: string | null;
}

export interface Index {
  readonly table: string;
  readonly name: string;
  readonly definition: string;
  /** It belongs to a constraint, which makes it. */
  readonly made: boolean;
  readonly clustered: boolean;
  /** Statistics targets of its expressions, by their number. */
  readonly statistics: readonly { readonly column: number; readonly target: number }[];
  readonly replicaIdentity: boolean;
  readonly comment: string | null;
  readonly owner: string | null;
}

export interface Trigger {
  readonly table: string;
  readonly name: string;
  readonly definition: string;
  /** pg_trigger.tgenabled */
  readonly enabled: string;
  readonly comment: string | null;
  readonly owner: string | null;
}

/** The schema has another number on another backend. A text that spells it out means the same there. */
export const own = ({ schema }: Pick<Definitions, 'schema'>, sql: string): string =>
  sql.replaceAll(`${schema}.`, 'pg_temp.');

const owner = (oid: string): string =>
  `case when ${oid} <> pg_catalog.quote_ident(session_user)::pg_catalog.regrole
     then pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(${oid})) end`;

const grants = (acl: string): string =>
  `case when ${acl} is not null then (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
      'grantee', case when a.grantee = 0 then 'PUBLIC' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) end,
      'privilege', a.privilege_type, 'grantable', a.is_grantable)), '[]') from pg_catalog.aclexplode(${acl}) a) end`;

/** None is the usual list, and not that of a new object where ALTER DEFAULT PRIVILEGES was used: then it is spelled out. */
const grantsOr = (acl: string, usual: string): string =>
  grants(
    `coalesce(${acl}, case when exists (select from pg_catalog.pg_default_acl) then pg_catalog.acldefault(${usual}) end)`,
  );

const comment = (oid: string, catalog: string, column = '0'): string =>
  `(select d.description from pg_catalog.pg_description d where d.objoid = ${oid}
     and d.classoid = 'pg_catalog.${catalog}'::pg_catalog.regclass and d.objsubid = ${column})`;

const list = (select: string): string => `coalesce((select pg_catalog.json_agg(x) from (${select}) x), '[]')`;
const all = (select: string): string => `select ${list(select)}`;

const TYPES =
  all(`select t.oid::int8 as oid, pg_catalog.quote_ident(t.typname) as name, ${owner('t.typowner')} as owner,
    ${comment('t.oid', 'pg_type')} as comment, ${grantsOr('t.typacl', `'T', t.typowner`)} as grants, t.typtype as kind, t.typarray::int8 as array,
    case t.typtype when 'e' then (select pg_catalog.json_agg(e.enumlabel order by e.enumsortorder)
      from pg_catalog.pg_enum e where e.enumtypid = t.oid) end as labels,
    case t.typtype when 'd' then pg_catalog.concat(pg_catalog.format_type(t.typbasetype, t.typtypmod),
      case when t.typcollation <> b.typcollation then ' collate ' || t.typcollation::pg_catalog.regcollation end,
      ' default ' || pg_catalog.pg_get_expr(t.typdefaultbin, 0), case when t.typnotnull then ' not null' end) end as domain,
    case t.typtype when 'd' then ${list(`select pg_catalog.quote_ident(c.conname) as name,
      pg_catalog.pg_get_constraintdef(c.oid, true) as definition, c.convalidated as valid,
      ${comment('c.oid', 'pg_constraint')} as comment from pg_catalog.pg_constraint c
      where c.contypid = t.oid and c.contype = 'c' order by c.oid`)} end as checks,
    case t.typtype when 'r' then pg_catalog.concat('subtype = ', pg_catalog.format_type(r.rngsubtype, null),
      ', subtype_opclass = ' || (select pg_catalog.format('%I.%I', n.nspname, o.opcname) from pg_catalog.pg_opclass o
        join pg_catalog.pg_namespace n on n.oid = o.opcnamespace where o.oid = r.rngsubopc),
      ', collation = ' || nullif(r.rngcollation, 0)::pg_catalog.regcollation,
      ', subtype_diff = ' || nullif(r.rngsubdiff::pg_catalog.oid, 0)::pg_catalog.regproc,
      ', multirange_type_name = pg_temp.' || (select pg_catalog.quote_ident(m.typname) from pg_catalog.pg_type m
        where m.oid = r.rngmultitypid)) end as range,
    r.rngmultitypid::int8 as multirange
  from pg_catalog.pg_type t left join pg_catalog.pg_type b on b.oid = t.typbasetype
    left join pg_catalog.pg_range r on r.rngtypid = t.oid
  where t.typnamespace = ${TEMP} and t.typtype in ('e', 'd', 'r') order by t.oid`);

const FUNCTIONS = all(`select p.oid::int8 as oid, pg_catalog.format('%I(%s)', p.proname,
      pg_catalog.pg_get_function_identity_arguments(p.oid)) as name, ${owner('p.proowner')} as owner,
    ${comment('p.oid', 'pg_proc')} as comment, ${grantsOr('p.proacl', `'f', p.proowner`)} as grants,
    case when p.prokind in ('f', 'p', 'w') then pg_catalog.pg_get_functiondef(p.oid) end as definition,
    case p.prokind when 'p' then 'PROCEDURE' else 'FUNCTION' end as word
  from pg_catalog.pg_proc p where p.pronamespace = ${TEMP} and p.prokind in ('f', 'p', 'w')
    and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
      and d.objid = p.oid and d.deptype = 'i') order by p.oid`);

const COLUMNS = list(`select pg_catalog.quote_ident(a.attname) as name,
    pg_catalog.format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as "notNull", not a.attislocal as inherited,
    pg_catalog.pg_get_expr(d.adbin, d.adrelid) as default, a.attgenerated <> '' as generated,
    d.oid is not null and a.attgenerated = '' and not exists (select from pg_catalog.pg_depend n where n.objid = d.oid
      and n.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and n.deptype = 'n') as "selfContained",
    case when a.attcollation <> t.typcollation then a.attcollation::pg_catalog.regcollation::pg_catalog.text end as collation,
    case when a.attstorage <> t.typstorage then
      case a.attstorage when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main' else 'extended' end end as storage,
    case a.attcompression when 'p' then 'pglz' when 'l' then 'lz4' end as compression,
    nullif(a.attstattarget, -1) as statistics, ${comment('c.oid', 'pg_class', 'a.attnum')} as comment,
    ${grants('a.attacl')} as grants,
    a.atttypid < 16384 and t.typtype in ('b', 'r', 'm') and t.typcategory not in ('A') and a.atttypid not in
      (select oid from pg_catalog.pg_type where typname ~ '^reg') as "builtIn"
  from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum`);

const PARENTS =
  list(`select i.inhparent::pg_catalog.regclass as name from pg_catalog.pg_inherits i where i.inhrelid = c.oid
      order by i.inhseqno`).replace('json_agg(x)', 'json_agg(x.name)');
const relationsWith = (children: boolean): string =>
  all(`select c.oid::int8 as oid, pg_catalog.quote_ident(c.relname) as name, ${owner('c.relowner')} as owner,
    case c.relkind when 'c' then ${comment('t.oid', 'pg_type')} else ${comment('c.oid', 'pg_class')} end as comment,
    case c.relkind when 'c' then ${grantsOr('t.typacl', `'T', t.typowner`)} when 'S' then ${grantsOr('c.relacl', `'s', c.relowner`)}
      else ${grantsOr('c.relacl', `'r', c.relowner`)} end as grants, c.relkind as kind,
    pg_catalog.has_table_privilege(c.relowner, c.oid, 'select') as readable,
    c.reltype::int8 as "rowType", coalesce(t.typarray, 0)::int8 as "rowArray",
    case when c.relkind <> 'S' then ${COLUMNS} else '[]' end as columns,
    (select '(' || pg_catalog.string_agg(pg_catalog.format('%s%s=%L', o.prefix, o.name, o.value), ', ') || ')' from (
        select '', option_name, option_value from pg_catalog.pg_options_to_table(c.reloptions)
        union all select 'toast.', p.option_name, p.option_value from pg_catalog.pg_class e,
          pg_catalog.pg_options_to_table(e.reloptions) p where e.oid = c.reltoastrelid) o (prefix, name, value)) as options,
    case when c.relkind = 'p' then pg_catalog.pg_get_partkeydef(c.oid) end as "partitionKey",
    pg_catalog.pg_get_expr(c.relpartbound, c.oid) as bound,
    ${children ? PARENTS : `'[]'::pg_catalog.json`} as parents,
    ${children ? MISPLACED : 'false'} as attached,
    case when c.relkind = 'v' then pg_catalog.pg_get_viewdef(c.oid) end as view,
    (select pg_catalog.concat('as ', pg_catalog.format_type(q.seqtypid, null), ' increment ', q.seqincrement, ' minvalue ',
      q.seqmin, ' maxvalue ', q.seqmax, ' start ', q.seqstart, ' cache ', q.seqcache, case when q.seqcycle then ' cycle' end)
      from pg_catalog.pg_sequence q where q.seqrelid = c.oid) as sequence,
    (select pg_catalog.json_build_object('table', d.refobjid::pg_catalog.regclass, 'column',
        pg_catalog.quote_ident(a.attname), 'identity', case d.deptype when 'i' then a.attidentity else '' end)
      from pg_catalog.pg_depend d join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
      where c.relkind = 'S' and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid
        and d.refclassid = d.classid and d.deptype in ('a', 'i') and d.refobjsubid > 0) as "ownedBy",
    c.relreplident as "replicaIdentity", c.reltuples >= 0 and c.relkind = 'r' as analyzed
  from pg_catalog.pg_class c left join pg_catalog.pg_type t on t.oid = c.reltype
  where c.relnamespace = ${TEMP} and c.relkind in ('r', 'p', 'v', 'S', 'c') order by c.oid`);

const IN_TEMP = `join pg_catalog.pg_class r on r.oid = `;
const CONSTRAINTS =
  all(`select c.conrelid::pg_catalog.regclass as table, pg_catalog.quote_ident(c.conname) as name,
    c.contype as type, c.contype = 'p' and exists (select from pg_catalog.pg_depend d where d.refobjid = c.oid
      and d.refclassid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and d.classid in
        ('pg_catalog.pg_rewrite'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass)) as early, pg_catalog.pg_get_constraintdef(c.oid, true) as definition,
    ${comment('c.oid', 'pg_constraint')} as comment, ${owner('r.relowner')} as owner
  from pg_catalog.pg_constraint c ${IN_TEMP} c.conrelid
  where r.relnamespace = ${TEMP} and c.conislocal and c.conparentid = 0 and c.contype in ('p', 'u', 'x', 'c', 'f')
  order by pg_catalog.strpos('puxcf', c.contype::pg_catalog.text), c.oid`);

const VALIDATED =
  all(`select c.conrelid::pg_catalog.regclass as table, pg_catalog.quote_ident(c.conname) as name, ${owner('r.relowner')} as owner
  from pg_catalog.pg_constraint c ${IN_TEMP} c.conrelid
  where r.relnamespace = ${TEMP} and not c.conislocal and c.contype = 'c' and c.convalidated and exists
    (select from pg_catalog.pg_inherits i join pg_catalog.pg_constraint p on p.conrelid = i.inhparent
      where i.inhrelid = c.conrelid and p.conname = c.conname and not p.convalidated)`);

const INDEXES =
  all(`select i.indrelid::pg_catalog.regclass as table, i.indexrelid::pg_catalog.regclass as name,
    pg_catalog.pg_get_indexdef(i.indexrelid, 0, true) as definition,
    exists (select from pg_catalog.pg_constraint c where c.conindid = i.indexrelid and c.contype in ('p', 'u', 'x')) as made,
    ${list(`select a.attnum as column, a.attstattarget as target from pg_catalog.pg_attribute a
      where a.attrelid = i.indexrelid and a.attstattarget >= 0 order by 1`)} as statistics,
    i.indisclustered as clustered, i.indisreplident as "replicaIdentity",
    ${comment('i.indexrelid', 'pg_class')} as comment, ${owner('r.relowner')} as owner
  from pg_catalog.pg_index i ${IN_TEMP} i.indrelid where r.relnamespace = ${TEMP} and r.relkind in ('r', 'p')
  order by i.indexrelid`);

const TRIGGERS =
  all(`select t.tgrelid::pg_catalog.regclass as table, pg_catalog.quote_ident(t.tgname) as name,
    pg_catalog.pg_get_triggerdef(t.oid, true) as definition, t.tgenabled as enabled,
    ${comment('t.oid', 'pg_trigger')} as comment, ${owner('r.relowner')} as owner
  from pg_catalog.pg_trigger t ${IN_TEMP} t.tgrelid where r.relnamespace = ${TEMP} and not t.tgisinternal and t.tgparentid = 0
  order by t.oid`);

/** Only among what is made first: of tables without what is added to them later (defaults, constraints). */
const DEPENDENCIES = `select coalesce((select pg_catalog.json_agg(pg_catalog.json_build_array(
      d.classid::pg_catalog.regclass, coalesce(w.ev_class, x.adrelid, k.contypid, d.objid)::int8,
      d.refclassid::pg_catalog.regclass, d.refobjid::int8))
    from pg_catalog.pg_depend d
      left join pg_catalog.pg_rewrite w on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and w.oid = d.objid
      left join (pg_catalog.pg_attrdef x join pg_catalog.pg_attribute xa on xa.attrelid = x.adrelid and xa.attnum = x.adnum
        and xa.attgenerated <> '') on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and x.oid = d.objid
      left join pg_catalog.pg_constraint k on d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
        and k.oid = d.objid and k.contypid <> 0
    where d.deptype in ('n', 'a', 'i') and (w.oid is not null or x.oid is not null or k.oid is not null
        or d.classid in ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_type'::pg_catalog.regclass,
          'pg_catalog.pg_proc'::pg_catalog.regclass))
      and ${NEEDS_TEMP}), '[]')`;

/** One row of one column: Definitions as JSON, in the server's encoding. */
export const readDefinitions = (features: Features): string => `select pg_catalog.json_build_object(
  'schema', (select nspname from pg_catalog.pg_namespace where oid = ${TEMP}),
  'plpgsql', exists (select from pg_catalog.pg_language where lanname = 'plpgsql'),
  'shadows', exists (select from pg_catalog.pg_class t join pg_catalog.pg_class p on p.relname = t.relname
      and p.relnamespace <> t.relnamespace and p.relpersistence <> 't' where t.relnamespace = ${TEMP})
    or exists (select from pg_catalog.pg_type t join pg_catalog.pg_type p on p.typname = t.typname
      and p.typnamespace <> t.typnamespace where t.typnamespace = ${TEMP} and t.typtype <> 'c' and t.typelem = 0),
  'beneficiaries', coalesce((select pg_catalog.json_agg(distinct pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)))
    from pg_catalog.pg_default_acl d, pg_catalog.aclexplode(d.defaclacl) a where a.grantee <> 0), '[]'),
  'types', (${features.has('types') ? TYPES : NONE}), 'functions', (${features.has('functions') ? FUNCTIONS : NONE}), 'relations', (${relationsWith(features.has('children'))}), 'constraints', (${CONSTRAINTS}), 'validated', (${features.has('children') ? VALIDATED : NONE}),
  'indexes', (${INDEXES}), 'triggers', (${features.has('triggers') ? TRIGGERS : NONE}), 'dependencies', (${DEPENDENCIES}), 'obstacles', (${obstacles(features)}))`;

const NONE = `select '[]'::pg_catalog.json`;

const rowsOf = (what: string, from: string, where: string): string =>
  `select pg_catalog.concat(${what}) from pg_catalog.${from} where ${where} = any ((select oids from a)::pg_catalog.oid[])`;

/**
 * While this is the same, the definitions in that schema are: every change of a catalog writes a new row version (xmin), but for names of
 * roles, which are spelled out. All that is in the schema, or needs something in it (o), is found by pg_depend's index, step by step
 * (OFFSET 0), and then all that this needs in turn (n): somebody else can rename it. It is looked up by oid; that one which
 * is another catalog's is looked at, too, costs less than to tell them apart. To plan this is most of it: hence one way for all
 * kinds. In an order of its own: which plan the backend makes does not matter. To be asked where there is a temporary schema only, like the two below.
 */
export const markOf = (schema: string): string => `(with recursive o (class, oid, part, version) as (
    select classid, objid, objsubid, xmin from pg_catalog.pg_depend
      where refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass and refobjid = ${schema}
    union select d.classid, d.objid, d.objsubid, d.xmin from o cross join lateral (
      select classid, objid, objsubid, xmin from pg_catalog.pg_depend where refclassid = o.class and refobjid = o.oid offset 0) d),
  n (class, oid) as (
    select class, oid from o
    union select d.refclassid, d.refobjid from n cross join lateral (
      select refclassid, refobjid from pg_catalog.pg_depend where classid = n.class and objid = n.oid offset 0) d),
  a (oids) as (select array(select oid from n))
  select pg_catalog.md5(pg_catalog.string_agg(x.v, ',' order by x.v collate pg_catalog."C")) from (
    select pg_catalog.concat(class, ' ', oid, ' ', part, ' ', version) from o
    union all ${[
      rowsOf(
        `'r', oid, xmin, reltuples >= 0, pg_catalog.pg_get_userbyid(relowner), relacl`,
        'pg_class',
        'oid',
      ),
      rowsOf(`'a', attrelid, ' ', attnum, ' ', xmin, attacl`, 'pg_attribute', 'attnum > 0 and attrelid'),
      rowsOf(`'d', oid, xmin`, 'pg_attrdef', 'oid'),
      rowsOf(`'c', oid, xmin`, 'pg_constraint', 'oid'),
      rowsOf(`'i', indexrelid, xmin`, 'pg_index', 'indexrelid'),
      rowsOf(`'g', oid, xmin`, 'pg_trigger', 'oid'),
      rowsOf(`'w', oid, xmin`, 'pg_rewrite', 'oid'),
      rowsOf(`'s', seqrelid, xmin`, 'pg_sequence', 'seqrelid'),
      rowsOf(`'t', oid, xmin, pg_catalog.pg_get_userbyid(typowner), typacl`, 'pg_type', 'oid'),
      rowsOf(`'e', oid, xmin`, 'pg_enum', 'enumtypid'),
      rowsOf(`'f', oid, xmin, pg_catalog.pg_get_userbyid(proowner), proacl`, 'pg_proc', 'oid'),
      rowsOf(`'m', objoid, ' ', objsubid, ' ', xmin`, 'pg_description', 'objoid'),
      rowsOf(`'n', oid, xmin`, 'pg_namespace', 'oid'),
      rowsOf(`'l', oid, xmin`, 'pg_collation', 'oid'),
      rowsOf(`'o', oid, xmin`, 'pg_operator', 'oid'),
      rowsOf(`'p', oid, xmin`, 'pg_opclass', 'oid'),
    ].join('\n    union all ')}
    union all select pg_catalog.concat('u', pg_catalog.string_agg(pg_catalog.concat(oid, xmin, defaclacl), ',' order by oid))
      from pg_catalog.pg_default_acl) x (v))`;
export const MARK = markOf(TEMP);

/**
 * While this is the same, all catalogs are, and so is what MARK tells: every change of one needs a transaction with a number, which
 * ends and shows here. Except that VACUUM counts rows in place (vacuum.c, vac_update_relstats), which only the session can do.
 */
export const SNAPSHOT = `pg_catalog.concat(pg_catalog.pg_backend_pid(), ' ', pg_catalog.pg_current_snapshot())`;

/** Still those tables are analyzed, and no other. */
export const analyzedAsIn = ({ relations }: Definitions): string => {
  const tables = relations.filter(({ kind }) => kind === 'r');
  const oids = (some: readonly Relation[]): string =>
    `'{${some.map(({ oid }) => oid).join()}}'::pg_catalog.oid[]`;
  return `array(select oid from pg_catalog.pg_class where oid = any (${oids(tables)}) and reltuples >= 0 order by oid)
    = ${oids(tables.filter(({ analyzed }) => analyzed))}`;
};

/** Of the contents of all its tables. */
export const BYTES = `(select coalesce(pg_catalog.sum(pg_catalog.pg_table_size(oid)), 0)
  from pg_catalog.pg_class where relnamespace = ${TEMP} and relkind = 'r')`;
