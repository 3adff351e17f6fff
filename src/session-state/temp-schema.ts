/** The schema of the session's own temporary objects: its oid, or 0 before the first of them (catalog/namespace.c). */
export const TEMP = 'pg_catalog.pg_my_temp_schema()';

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
