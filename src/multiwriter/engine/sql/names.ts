/**
 * Names of ours among a client's: triggers whose name begins with `dbproxy_`, on his tables, and their constraints, by which settle() finds
 * what has not fired (SET CONSTRAINTS takes names only). One of a client's of such a name would be in their way, and ours by another name
 * would not be found.
 */
export const NAMES = String.raw`
create or replace function dbproxy.require_names_of_ours() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare theirs text; ours text;
begin
  select string_agg(format('%s, of %s', conname, coalesce(nullif(conrelid, 0)::regclass::text, nullif(contypid, 0)::regtype::text)), '; ') into theirs
    from pg_constraint k left join pg_trigger t on tgconstraint = k.oid left join pg_proc p on p.oid = tgfoid
   where conname = 'dbproxy_capture' and p.pronamespace is distinct from 'dbproxy'::regnamespace and dbproxy.is_ours(connamespace);
  if theirs is not null then
    raise exception 'a constraint has a name of ours: %', theirs using errcode = '42939', hint = 'Call it otherwise: dbproxy_capture is for dbproxy.';
  end if;
  select string_agg(format('%s, of %s', tgname, tgrelid::regclass), '; ') filter (where not is_ours and starts_with(tgname, 'dbproxy_')),
         string_agg(format('%s, of %s', tgname, tgrelid::regclass), '; ') filter (where is_ours and (not starts_with(tgname, 'dbproxy_') or conname <> tgname))
    into theirs, ours
    from (select tgname, tgrelid, conname, p.pronamespace = 'dbproxy'::regnamespace as is_ours
            from pg_trigger join pg_proc p on p.oid = tgfoid left join pg_constraint k on k.oid = tgconstraint
           where not tgisinternal and (starts_with(tgname, 'dbproxy_') or p.pronamespace = 'dbproxy'::regnamespace)) t
   where dbproxy.is_ours((select relnamespace from pg_class where oid = tgrelid));
  if theirs is not null then
    raise exception 'a trigger has a name like those of ours: %', theirs using errcode = '42939', hint = 'Call it otherwise: names of triggers that begin with dbproxy_ are for dbproxy.';
  end if;
  if ours is not null then
    raise exception 'what captures the changes of a table keeps its name: %', ours using errcode = '42501';
  end if;
end $$;
`;
