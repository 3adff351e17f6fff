/** The schema of the session's own temporary objects: its oid, or 0 before the first of them (catalog/namespace.c). */
export const TEMP = 'pg_catalog.pg_my_temp_schema()';

/**
 * Where `d`, of pg_depend, says that something needs something temporary. The oids are read once, into an array: of a join a server
 * that has no statistics of its catalogs makes a search through a whole index for each row.
 */
export const NEEDS_TEMP = `d.refclassid in ('pg_catalog.pg_class'::pg_catalog.regclass, 'pg_catalog.pg_type'::pg_catalog.regclass,
    'pg_catalog.pg_proc'::pg_catalog.regclass)
  and d.refobjid = any (array(select oid from pg_catalog.pg_class where relnamespace = ${TEMP}
    union all select oid from pg_catalog.pg_type where typnamespace = ${TEMP}
    union all select oid from pg_catalog.pg_proc where pronamespace = ${TEMP}))`;

/**
 * The columns of `c`, a child or partition, are not in the order that CREATE TABLE would give them: those of its parents first,
 * parent by parent.
 */
export const MISPLACED = `exists (select from pg_catalog.pg_inherits i where i.inhrelid = c.oid) and (
  select pg_catalog.array_agg(a.attnum order by a.attnum) <> pg_catalog.array_agg(a.attnum order by p.parent, p.attnum, a.attnum)
    from pg_catalog.pg_attribute a left join lateral (select i.inhseqno as parent, p.attnum
        from pg_catalog.pg_inherits i join pg_catalog.pg_attribute p on p.attrelid = i.inhparent and p.attname = a.attname
        where i.inhrelid = a.attrelid and a.attinhcount > 0 order by 1, 2 limit 1) p on true
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)`;
