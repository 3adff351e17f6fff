/**
 * A cursor WITH HOLD is run at the COMMIT, behind the proposal: what it writes or fails with would come too late. So the proxy has it run
 * before (held-cursors.ts in proxy/certify), by what reads it from its start, as PostgreSQL does, and puts another in its place:
 *
 *   c ─ fetch all ─▶ rows_of('c') ─ a cursor ─▶ dbproxy_held ─ fetch all ─▶ rows_of('dbproxy_held') ─ a cursor WITH HOLD ─▶ c
 *
 * What a function in FROM has returned is kept for as long as its cursor is there, and not computed again: at the COMMIT rows are copied,
 * and no more. Twice, since the second can have the name of the first only when that is gone.
 *
 * All of it runs as the client, with what he has set: it is his query.
 */
export const HELD_CURSORS = String.raw`
create or replace function dbproxy.rows_of(source text) returns setof record language plpgsql as $$
begin
  return query execute pg_catalog.format('fetch all from %I', source);
end $$;

-- Of the JSON that hold() is given: the cursor's name; its columns as c1, c2 ... with their types; and with their names.
create or replace function dbproxy.read_held(hex text, out source text, out columns text, out named text) language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off as $$
  select j->>'name', string_agg(format('c%s %s', i, format_type((c->>'type')::oid, (c->>'modifier')::int)), ', ' order by i) filter (where i > 0),
         string_agg(format('c%s as %I', i, c->>'name'), ', ' order by i) filter (where i > 0)
    from (select convert_from(decode(hex, 'hex'), 'UTF8')::jsonb as j) given left join lateral jsonb_array_elements(j->'columns') with ordinality e (c, i) on true group by j $$;

-- PostgreSQL runs one that can be scrolled from its start, another one from where it is.
create or replace function dbproxy.hold(hex text) returns void language plpgsql as $$
declare source text; columns text; named text; is_binary text; is_scrollable boolean; here bigint; back bigint := 0; size bigint;
  portal pg_catalog.refcursor; held pg_catalog.refcursor := 'dbproxy_held';
begin
  select h.source, h.columns, h.named into source, columns, named from dbproxy.read_held(hex) h;
  portal := source;
  select c.is_scrollable, case when c.is_binary then 'binary' else '' end into is_scrollable, is_binary from pg_catalog.pg_cursor() c where c.name operator(pg_catalog.=) source;
  move relative 0 from portal;
  get diagnostics here = row_count;
  if is_scrollable then
    -- Counts the rows before it, and runs nothing.
    move backward all from portal;
    get diagnostics back = row_count;
  end if;
  if columns is null then
    move forward all from portal;
    get diagnostics size = row_count;
    close portal;
    execute pg_catalog.format('declare %I %s scroll cursor with hold for select from pg_catalog.generate_series(1, %s)', source, is_binary, size);
    move forward all from portal;
  else
    execute pg_catalog.format('declare dbproxy_held scroll cursor for select * from dbproxy.rows_of(%L) held (%s)', source, columns);
    move forward all from held;
    move absolute 0 from held;
    close portal;
    execute pg_catalog.format('declare %I %s scroll cursor with hold for select %s from dbproxy.rows_of(''dbproxy_held'') held (%s)', source, is_binary, named, columns);
    move forward all from portal;
    close held;
  end if;
  if not is_scrollable or here operator(pg_catalog.=) 0 and back operator(pg_catalog.=) 0 then move absolute 0 from portal;
  elsif here operator(pg_catalog.>) 0 then move absolute (back operator(pg_catalog.+) 1) from portal;
  end if;
end $$;
`;
