/** Rows 10 and 11: what among temporary objects temp-ddl.ts cannot make again just as it was, found in the catalogs, by name. */
import { MISPLACED, NEEDS_TEMP, TEMP } from './temp-schema.js';

/**
 * What there is at all, asked first: to plan a question takes longer than to answer it, and most are about what is seldom there.
 * `others`: what is neither relation nor type nor function. `odd`: relations that differ from plain ones in themselves.
 */
const FEATURES = {
  types: `exists (select from pg_catalog.pg_type where typnamespace = ${TEMP} and typtype <> 'c' and typelem = 0)`,
  functions: `exists (select from pg_catalog.pg_proc where pronamespace = ${TEMP})`,
  odd: `relkind in ('m', 'f') or relrowsecurity or relforcerowsecurity or reloftype <> 0 or reltablespace <> 0
    or relkind = 'r' and relam <> 2`,
  rules: `relkind = 'v' or relhasrules`,
  partitioned: `relkind = 'p'`,
  triggers: 'relhastriggers',
  children: `exists (select from pg_catalog.pg_inherits)`,
  others: `exists (select from pg_catalog.pg_depend where refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
    and refobjid = ${TEMP} and classid not in ('pg_catalog.pg_class'::pg_catalog.regclass,
      'pg_catalog.pg_type'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass))`,
} as const;
type Feature = keyof typeof FEATURES;
export type Features = ReadonlySet<string>;

/** A list of names. */
export const PRESENT = `(select pg_catalog.concat_ws(' ', ${Object.entries(FEATURES)
  .map(([name, sql]) =>
    sql.startsWith('exists')
      ? `case when ${sql} then '${name}' end`
      : `case when pg_catalog.bool_or(${sql}) then '${name}' end`,
  )
  .join(', ')}) from pg_catalog.pg_class where relnamespace = ${TEMP})`;

/** `feature`: without it there is none of them. */
const named = (
  kind: string,
  from: string,
  name: string,
  where: string,
  feature: Feature | null = null,
): readonly [Feature | null, string] => [
  feature,
  `select pg_catalog.format('${kind} %s', ${name}) from pg_catalog.${from} where ${where}`,
];

/** What has privileges: catalog, name, list, owner, and which of them. */
const GRANTED: readonly (readonly [string, string, string, string, string])[] = [
  ['pg_class o', 'o.relname', 'o.relacl', 'o.relowner', `o.relnamespace = ${TEMP}`],
  ['pg_proc o', 'o.proname', 'o.proacl', 'o.proowner', `o.pronamespace = ${TEMP}`],
  ['pg_type o', 'o.typname', 'o.typacl', 'o.typowner', `o.typnamespace = ${TEMP}`],
  [
    'pg_attribute c join pg_catalog.pg_class o on o.oid = c.attrelid',
    'o.relname',
    'c.attacl',
    'o.relowner',
    `o.relnamespace = ${TEMP}`,
  ],
];

const ALL: readonly (readonly [Feature | null, string])[] = [
  named('aggregate', 'pg_proc o', 'o.proname', `o.pronamespace = ${TEMP} and o.prokind = 'a'`, 'functions'),
  named(
    'type',
    'pg_type o',
    'o.typname',
    `o.typnamespace = ${TEMP} and o.typtype = 'b' and o.typelem = 0`,
    'types',
  ),
  named(
    'range type with a canonical function:',
    'pg_range r join pg_catalog.pg_type o on o.oid = r.rngtypid',
    'o.typname',
    `o.typnamespace = ${TEMP} and r.rngcanonical <> 0`,
    'types',
  ),
  named(
    'range type with its multirange in another schema:',
    `pg_range r join pg_catalog.pg_type o on o.oid = r.rngtypid
          join pg_catalog.pg_type m on m.oid = r.rngmultitypid`,
    'o.typname',
    `o.typnamespace = ${TEMP} and m.typnamespace <> o.typnamespace`,
    'types',
  ),
  named(
    'materialized view or foreign table',
    'pg_class o',
    'o.relname',
    `o.relnamespace = ${TEMP} and o.relkind in ('m', 'f')`,
    'odd',
  ),
  named(
    'row security of',
    'pg_class o',
    'o.relname',
    `o.relnamespace = ${TEMP} and (o.relrowsecurity or o.relforcerowsecurity)`,
    'odd',
  ),
  named(
    'policy on',
    'pg_policy p join pg_catalog.pg_class o on o.oid = p.polrelid',
    'o.relname',
    `o.relnamespace = ${TEMP}`,
  ),
  named(
    'rule on',
    'pg_rewrite w join pg_catalog.pg_class o on o.oid = w.ev_class',
    'o.relname',
    `o.relnamespace = ${TEMP} and (o.relkind <> 'v' or w.rulename <> '_RETURN')`,
    'rules',
  ),
  named(
    'default of a column of view',
    'pg_attrdef d join pg_catalog.pg_class o on o.oid = d.adrelid',
    'o.relname',
    `o.relnamespace = ${TEMP} and o.relkind = 'v'`,
    'rules',
  ),
  named('typed table', 'pg_class o', 'o.relname', `o.relnamespace = ${TEMP} and o.reloftype <> 0`, 'odd'),
  named(
    'tablespace of',
    'pg_class o',
    'o.relname',
    `o.relnamespace = ${TEMP} and o.reltablespace <> 0`,
    'odd',
  ),
  named(
    'access method of',
    'pg_class o',
    'o.relname',
    `o.relnamespace = ${TEMP} and o.relkind = 'r' and o.relam <> 2`,
    'odd',
  ),
  named(
    'options of a column of',
    'pg_attribute a join pg_catalog.pg_class o on o.oid = a.attrelid',
    'o.relname',
    `o.relnamespace = ${TEMP} and o.relkind in ('r', 'p') and a.attoptions is not null`,
  ),
  named(
    'index of partitioned table',
    'pg_index i join pg_catalog.pg_class o on o.oid = i.indrelid',
    'o.relname',
    `o.relnamespace = ${TEMP} and o.relkind = 'p'`,
    'partitioned',
  ),
  named(
    'invalid index of',
    'pg_index i join pg_catalog.pg_class o on o.oid = i.indrelid',
    'o.relname',
    `o.relnamespace = ${TEMP} and not i.indisvalid`,
  ),
  named(
    'columns of the parents, dropped or moved, in',
    'pg_class c',
    'c.relname',
    `c.relnamespace = ${TEMP} and ${MISPLACED} and (
          not c.relispartition and exists (select from pg_catalog.pg_attribute a
            where a.attrelid = c.oid and not a.attislocal and not a.attisdropped)
          or exists (select from pg_catalog.pg_inherits i join pg_catalog.pg_class p on p.oid = i.inhparent
            where i.inhrelid = c.oid and p.relnamespace <> ${TEMP}))`,
    'children',
  ),
  named(
    'mark of a CYCLE that no server reads as it is written, of view',
    'pg_class o',
    'o.relname',
    `o.relnamespace = ${TEMP} and case when o.relkind = 'v'
          then pg_catalog.pg_get_viewdef(o.oid) ~ '[)] CYCLE .* TO [^ ]*::.* USING ' end`,
    'rules',
  ),
  named(
    'parent of another owner of',
    'pg_inherits i join pg_catalog.pg_class o on o.oid = i.inhrelid join pg_catalog.pg_class p on p.oid = i.inhparent',
    'o.relname',
    `o.relnamespace = ${TEMP} and o.relkind in ('r', 'p') and p.relowner <> o.relowner`,
    'children',
  ),
  named(
    'disabled constraint of',
    'pg_class o',
    'o.relname',
    `o.relnamespace = ${TEMP} and exists (select from pg_catalog.pg_trigger t where t.tgrelid = o.oid
          and t.tgisinternal and t.tgenabled <> 'O')`,
    'triggers',
  ),
  named(
    'values that no input function accepts in',
    'pg_class o',
    'o.relname',
    `o.relnamespace = ${TEMP} and o.relkind = 'r' and exists (select from pg_catalog.pg_attribute a
          join pg_catalog.pg_type t on t.oid = a.atttypid where a.attrelid = o.oid and not a.attisdropped
            and t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace and t.typname in ('pg_node_tree', 'pg_ndistinct',
              'pg_dependencies', 'pg_mcv_list', 'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary', 'gtsvector'))`,
  ),
  ...GRANTED.map(([from, name, acl, owner, where]) =>
    named(
      'privileges that its owner did not give on',
      `${from}, pg_catalog.aclexplode(${acl}) a`,
      name,
      `${where} and a.grantor <> ${owner}`,
    ),
  ),
  named(
    'object that a permanent one depends on:',
    `pg_depend d left join pg_catalog.pg_rewrite w
          on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and w.oid = d.objid`,
    'pg_catalog.pg_describe_object(d.refclassid, d.refobjid, 0)',
    `d.deptype in ('n', 'a') and ${NEEDS_TEMP} and (
          d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid in
            (select oid from pg_catalog.pg_proc where pronamespace <> ${TEMP})
          or d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass and d.objid in
            (select oid from pg_catalog.pg_type where typnamespace <> ${TEMP})
          or coalesce(w.ev_class, case when d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass then d.objid end) in
            (select oid from pg_catalog.pg_class where relnamespace <> ${TEMP} and relkind not in ('t', 'i'))
          or d.classid in ('pg_catalog.pg_operator'::pg_catalog.regclass, 'pg_catalog.pg_cast'::pg_catalog.regclass,
            'pg_catalog.pg_event_trigger'::pg_catalog.regclass)
            and not exists (select from pg_catalog.pg_depend i where i.deptype = 'i' and i.classid = d.classid and i.objid = d.objid))`,
  ),
  named('extended statistics', 'pg_statistic_ext o', 'o.stxname', `o.stxnamespace = ${TEMP}`, 'others'),
  named('operator', 'pg_operator o', 'o.oprname', `o.oprnamespace = ${TEMP}`, 'others'),
  named('operator class', 'pg_opclass o', 'o.opcname', `o.opcnamespace = ${TEMP}`, 'others'),
  named('operator family', 'pg_opfamily o', 'o.opfname', `o.opfnamespace = ${TEMP}`, 'others'),
  named('collation', 'pg_collation o', 'o.collname', `o.collnamespace = ${TEMP}`, 'others'),
  named('conversion', 'pg_conversion o', 'o.conname', `o.connamespace = ${TEMP}`, 'others'),
  named('text search configuration', 'pg_ts_config o', 'o.cfgname', `o.cfgnamespace = ${TEMP}`, 'others'),
  named('text search dictionary', 'pg_ts_dict o', 'o.dictname', `o.dictnamespace = ${TEMP}`, 'others'),
  named(
    'cast of type',
    'pg_cast c join pg_catalog.pg_type o on o.oid in (c.castsource, c.casttarget)',
    'o.typname',
    `o.typnamespace = ${TEMP} and not exists (select from pg_catalog.pg_depend i where i.deptype = 'i'
          and i.classid = 'pg_catalog.pg_cast'::pg_catalog.regclass and i.objid = c.oid)`,
  ),
  named(
    'a column of a dropped type in',
    'pg_attribute a join pg_catalog.pg_class o on o.oid = a.attrelid',
    'o.relname',
    `o.relnamespace = ${TEMP} and a.attnum > 0 and not a.attisdropped and not exists (select from pg_catalog.pg_type t where t.oid = a.atttypid)`,
  ),
  named(
    'owner of',
    'pg_class o',
    `pg_catalog.format('%s (role %s may not be set)', o.relname, pg_catalog.pg_get_userbyid(o.relowner))`,
    `o.relnamespace = ${TEMP} and not pg_catalog.pg_has_role(session_user, o.relowner, 'set')`,
  ),
  named(
    'owner of',
    'pg_proc o',
    `pg_catalog.format('%s (role %s may not be set)', o.proname, pg_catalog.pg_get_userbyid(o.proowner))`,
    `o.pronamespace = ${TEMP} and not pg_catalog.pg_has_role(session_user, o.proowner, 'set')
          and not exists (select from pg_catalog.pg_depend i where i.deptype = 'i'
            and i.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and i.objid = o.oid)`,
    'functions',
  ),
  named(
    'owner of',
    'pg_type o',
    `pg_catalog.format('%s (role %s may not be set)', o.typname, pg_catalog.pg_get_userbyid(o.typowner))`,
    `o.typnamespace = ${TEMP} and not pg_catalog.pg_has_role(session_user, o.typowner, 'set')`,
  ),
];

/** One row of one column: an array of object and reason. */
export const obstacles = (features: Features): string => {
  const asked = ALL.filter(([feature]) => feature === null || features.has(feature)).map(([, sql]) => sql);
  // eslint-disable-next-line dbproxy/sql-quoting -- of ALL, above
  return `select coalesce((select pg_catalog.json_agg(o.what) from (${asked.join(' union all ')}) o (what)), '[]')`;
};
