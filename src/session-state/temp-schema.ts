/** The schema of the session's own temporary objects: its oid, or 0 before the first of them (catalog/namespace.c). */
export const TEMP = 'pg_catalog.pg_my_temp_schema()';
