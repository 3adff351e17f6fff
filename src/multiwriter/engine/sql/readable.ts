/**
 * Rows travel as text. There are values whose text their type does not read again, or not as deep as it is: of such a row every other writer
 * would stop. Where a type may have some, its values are read once more where they are written, without what a client has defined for them.
 */
export const READABLE = String.raw`
-- By which a value of an extension's type is compared with what its text is read as; null: the type has no equality, or its text is known to be
-- all of it. That of seg has six digits of a number.
create or replace function dbproxy.compared_by(type oid) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
  select format('operator(%I.%s)', nspname, oprname)
    from pg_type t join pg_depend d on d.classid = 'pg_type'::regclass and d.objid = t.oid and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' join pg_extension x on x.oid = d.refobjid
    join pg_opclass c on opcintype = t.oid and opcdefault and opcmethod = (select oid from pg_am where amname = 'btree')
    join pg_amop a on amopfamily = opcfamily and amopstrategy = 3 and amoplefttype = t.oid and amoprighttype = t.oid
    join pg_operator o on o.oid = amopopr join pg_namespace n on n.oid = oprnamespace join pg_proc p on p.oid = oprcode join pg_roles r on r.oid = proowner
   where t.oid = compared_by.type and typtype = 'b' and rolsuper and extname <> all ('{citext,cube,hstore,isn,ltree}'::name[]) $$;

create or replace function dbproxy.require_equal(is_equal boolean) returns boolean language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if not is_equal then raise exception 'its text is read as another value'; end if;
  return true;
end $$;

-- Of PostgreSQL's own base types, those of which every text is one that is read again.
create or replace function dbproxy.is_readable(type oid) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select typtype <> 'b' or typcategory = 'A' and typelem <> 0 or typnamespace <> 'pg_catalog'::regnamespace and dbproxy.compared_by(oid) is null or typname = any ('{bool,int2,int4,int8,oid,float4,float8,numeric,money,text,varchar,bpchar,name,char,bytea,uuid,
    date,time,timetz,timestamp,timestamptz,bit,varbit,inet,cidr,macaddr,macaddr8,jsonb,jsonpath,tsvector,tsquery,point,lseg,box,path,polygon,line,
    xid,xid8,cid,tid,pg_lsn,pg_snapshot,txid_snapshot,refcursor}'::name[]) or typname like 'reg%'
    from pg_type where oid = type $$;

-- An expression that reads what of a value has to be read; null: nothing.
create or replace function dbproxy.reading(value text, type oid, depth int default 1) returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare t pg_type; alias text := 'dbproxy_' || depth; inner_type oid; read text;
begin
  select * into t from pg_type where oid = dbproxy.base_type(type);
  if t.typtype = 'c' then
    select string_agg(r, ', ') into read from (
      select dbproxy.reading(format('(%s).%s', value, dbproxy.quoted(attname)), atttypid, depth) as r from pg_attribute where attrelid = t.typrelid and attnum > 0 and not attisdropped) a where r is not null;
    return 'num_nulls(' || read || ')';
  elsif t.typtype = 'r' then
    select string_agg(r, ', ') into read from (
      select dbproxy.reading(format('%s(%s)', bound, value), rngsubtype, depth) as r from pg_range cross join unnest('{lower,upper}'::text[]) bound where rngtypid = t.oid) b where r is not null;
    return 'num_nulls(' || read || ')';
  elsif t.typtype = 'm' or t.typcategory = 'A' and t.typelem <> 0 then
    inner_type := coalesce((select rngtypid from pg_range where rngmultitypid = t.oid), t.typelem);
    read := dbproxy.reading(case when (select typtype from pg_type where oid = dbproxy.base_type(inner_type)) = 'c' then alias else alias || '.e' end, inner_type, depth + 1);
    return case when read is not null then format('(select count(%s) from unnest(%s) %s%s)', read, value, alias, case when read ~ (alias || '\.e') then '(e)' else '' end) end;
  elsif dbproxy.compared_by(t.oid) is not null then
    return format('case when %1$s is not null then dbproxy.require_equal(%1$s %2$s (format(''%%s'', %1$s))::%3$s) end', value, dbproxy.compared_by(t.oid), format_type(t.oid, -1));
  elsif not dbproxy.is_readable(t.oid) then
    return format('case when %s then (format(''%%s'', %s))::%s end',
      case t.oid
        when 'interval'::regtype then format('date_part(''hour'', %s) = -2562047788', value)
        -- As deep as a stack may be for it.
        when 'json'::regtype then format('octet_length(format(''%%s'', %s)) > 10000', value)
        else value || ' is not null' end,
      value, format_type(t.oid, -1));
  end if;
  return null;
end $$;

create or replace function dbproxy.readings(rel oid, r text) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
  select 'num_nulls(' || string_agg(read, ', ' order by attnum) || ')' from pg_attribute cross join dbproxy.reading(r || dbproxy.quoted(attname), atttypid) read
   where attrelid = rel and attnum > 0 and not attisdropped and exists (select from dbproxy.parts_of(atttypid) part where not dbproxy.is_readable(part)) $$;

-- Columns whose values are stored as they come, and would not fit in a page elsewhere, where they come as text: who copies one that is compressed gets it so.
create or replace function dbproxy.compressed(rel oid, r text) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
  select string_agg(format('pg_column_compression(%s%s) is not null', r, dbproxy.quoted(attname)), ' or ' order by attnum) from pg_attribute
   where attrelid = rel and attnum > 0 and not attisdropped and attlen = -1 and attstorage = 'p' and (select typstorage from pg_type where oid = atttypid) <> 'p' $$;

create or replace function dbproxy.refuse_unreadable(rel oid, why text) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'a row of % has a value that the other writers could not read from its text', rel::regclass using errcode = '55000', detail = why,
    hint = 'Its type writes what it does not read again, as a dump would show, too. Change the value, or keep it as a text in a column of type text.';
end $$;

create or replace function dbproxy.refuse_compressed(rel oid) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'a row of % has a compressed value in a column whose storage is PLAIN, which would be too large on the other writers', rel::regclass using errcode = '55000',
    hint = 'ALTER TABLE ... ALTER COLUMN ... SET STORAGE MAIN; or write a value that is not compressed, with || '''' behind it.';
end $$;
`;
