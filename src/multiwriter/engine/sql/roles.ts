/**
 * Roles: what belongs to the whole cluster, where no event trigger looks. What a transaction has changed of it is told from the
 * catalogs, and not from its statements, at its COMMIT and before each other definition: so it does not matter how it was said (in a DO
 * block, by a function), a password travels as the verifier that the engine keeps, and what failed or was rolled back is not there.
 *
 * - `roles` remembers a digest of each role's state as it was last told, by the role's number here; a role that is gone, renamed or new is
 *   told from it. Role 0 stands for everybody: settings of the database and of ALL, privileges on the database.
 * - A state is whole: attributes, verifier, members with their grantors, settings, comment. To apply it is to make the role of that name so,
 *   whether it was there or not.
 * - pg_authid and pg_db_role_setting are written as rows, which nothing else depends on: texts of a client are never part of a statement.
 */

import { note, unnote } from './notes.js';

/**
 * By what the session counts, in its own memory, of rows in pg_authid, pg_auth_members, pg_database, pg_shdescription and
 * pg_db_role_setting: what was counted in an earlier transaction may be in it, what was in this one always is. A sum of calls and no
 * query, which PL/pgSQL would have to run.
 */
export const MAY_HAVE_CHANGED_ROLES = `(current_setting('track_counts') = 'off' or ${[
  1260, 1261, 1262, 2396, 2964,
]
  .flatMap((catalog) =>
    ['inserted', 'updated', 'deleted'].map((what) => `pg_stat_get_xact_tuples_${what}(${catalog})`),
  )
  .join(' + ')} > 0)`;

export const ROLES = String.raw`
create table if not exists dbproxy.roles (role oid primary key, name name not null, digest text not null);
alter table dbproxy.roles enable row level security;

create or replace function dbproxy.settings_of(role oid) returns jsonb language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(jsonb_agg(jsonb_build_object('here', setdatabase <> 0, 'config', setconfig) order by setdatabase), '[]')
    from pg_db_role_setting where setrole = role and setdatabase in (0, (select oid from pg_database where datname = current_database())) $$;

create or replace function dbproxy.privileges_here() returns jsonb language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(jsonb_agg(distinct jsonb_build_object('grantee', case when grantee <> 0 then pg_get_userbyid(grantee) end, 'privilege', privilege_type, 'grantable', is_grantable)), '[]')
    from pg_database cross join aclexplode(coalesce(datacl, acldefault('d', datdba))) where datname = current_database() $$;

create or replace function dbproxy.members_of(role oid) returns jsonb language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(jsonb_agg(to_jsonb(m) - '{oid,roleid}'::text[] || jsonb_build_object('member', pg_get_userbyid(member), 'grantor', pg_get_userbyid(grantor)) order by member, grantor), '[]')
    from pg_auth_members m where roleid = role $$;

create or replace function dbproxy.roles_here(out role oid, out name name, out state jsonb, out digest text) returns setof record
  language sql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
  select s.*, encode(sha256(convert_to(s.rolname || ' ' || s.state, 'UTF8')), 'hex') from (
    select oid, rolname, jsonb_build_object('attributes', to_jsonb(a) - '{oid,rolname}'::text[], 'members', dbproxy.members_of(oid),
             'settings', dbproxy.settings_of(oid), 'comment', shobj_description(oid, 'pg_authid')) as state
      from pg_authid a where rolname <> 'dbproxy_apply'
    union all select 0, '', jsonb_build_object('settings', dbproxy.settings_of(0), 'privileges', dbproxy.privileges_here())) s $$;

create or replace function dbproxy.remember_roles() returns void language sql set search_path = pg_catalog, pg_temp as $$
  delete from dbproxy.roles k where role <> 0 and not exists (select from pg_authid where oid = k.role);
  insert into dbproxy.roles select role, name, digest from dbproxy.roles_here()
    on conflict (role) do update set name = excluded.name, digest = excluded.digest where roles.digest <> excluded.digest $$;
do $$ begin
  if not exists (select from dbproxy.roles) then perform dbproxy.remember_roles(); end if;
end $$;

create or replace function dbproxy.note_roles() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare changed jsonb; gone jsonb; roles oid[];
begin
  if not (${MAY_HAVE_CHANGED_ROLES}) then return; end if;
  select jsonb_agg(h.state || jsonb_build_object('name', h.name, 'was', nullif(k.name, h.name)) order by h.role), array_agg(h.role) into changed, roles
    from dbproxy.roles_here() h left join dbproxy.roles k using (role) where k.digest is distinct from h.digest;
  select jsonb_agg(k.name) into gone from dbproxy.roles k where role <> 0 and not exists (select from pg_authid where oid = k.role);
  if changed is null and gone is null then return; end if;
  -- By which others get their names while it is applied.
  if exists (select from jsonb_array_elements(changed) c where c->>'name' ~ '^dbproxy_(gone|was)_') then
    raise exception 'the name of a role begins with dbproxy_gone_ or dbproxy_was_, which are for dbproxy' using errcode = '42939', hint = 'Call it otherwise.';
  end if;
  perform dbproxy.capture('a', null, jsonb_build_object('changed', coalesce(changed, '[]'), 'gone', coalesce(gone, '[]')), null);
  perform dbproxy.remember_roles();
  if roles is not null then perform dbproxy.refresh_code_of(roles); end if;
end $$;

create or replace function dbproxy.rename_role(old name, new name) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from pg_authid where rolname = old) then execute format('alter role %I rename to %I', old, new); end if;
end $$;

create or replace function dbproxy.drop_role(gone name) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare target oid := (select oid from pg_authid where rolname = gone); orphan text;
begin
  if target is null then return; end if;
  begin
    execute format('drop role %I', gone);
  exception when dependent_objects_still_exist then
    -- Temporary tables of sessions here, whose schemas have the numbers of their backends. What is left is in another database, for people.
    perform pg_terminate_backend(pid, 5000) from pg_namespace, pg_stat_get_backend_pid(substr(nspname, 9)::int) pid where nspname ~ '^pg_temp_\d+$'
      and pid <> pg_backend_pid() and oid in (select relnamespace from pg_class where relowner = target);
    -- After a crash there is no such session, somebody else (this one) may have its number, and its tables stay until autovacuum comes by.
    for orphan in select format('%I.%I', nspname, relname) from pg_class c join pg_namespace n on n.oid = relnamespace
        where nspname ~ '^pg_temp_\d+$' and relkind in ('r', 'p') and relowner = target loop
      ${note('w')}
      execute format('drop table if exists %s cascade', orphan);
      ${unnote('w')}
    end loop;
    -- Large objects are this engine's own.
    for orphan in select objid from pg_shdepend where refclassid = 'pg_authid'::regclass and refobjid = target and classid = 'pg_largeobject'::regclass
        and dbid = (select oid from pg_database where datname = current_database()) loop
      ${note('w')}
      execute format('revoke all on large object %s from %I cascade', orphan, gone);
      execute format('alter large object %s owner to %I', orphan, current_user);
      ${unnote('w')}
    end loop;
    execute format('drop role %I', gone);
  end;
end $$;

create or replace function dbproxy.apply_members(role name, wanted jsonb) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare target oid := (select oid from pg_authid where rolname = role); m jsonb; had int := -1; options text;
begin
  -- Nobody grants what was not granted to him before: as many rounds as there are steps.
  while had <> jsonb_array_length(dbproxy.members_of(target)) loop
    had := jsonb_array_length(dbproxy.members_of(target));
    for m in select w from jsonb_array_elements(wanted) w where not dbproxy.members_of(target) @> jsonb_build_array(w) and exists (
        select from pg_authid g where g.rolname = w->>'grantor' and (g.oid = 10 or current_setting('server_version_num')::int < 160000
          or exists (select from pg_auth_members a where a.roleid = target and a.member = g.oid and a.admin_option))) loop
      options := case when m ? 'set_option' then format('with admin %s, inherit %s, set %s', m->>'admin_option', m->>'inherit_option', m->>'set_option')
                      when (m->>'admin_option')::boolean then 'with admin option' else '' end;
      execute format('grant %I to %I %s granted by %I', role, m->>'member', options, m->>'grantor');
    end loop;
  end loop;
  if not dbproxy.members_of(target) @> wanted then
    raise exception 'members of role % cannot be made %', role, wanted using errcode = 'DBP01';
  end if;
end $$;

create or replace function dbproxy.apply_privileges(wanted jsonb) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare p jsonb;
begin
  for p in select h from jsonb_array_elements(dbproxy.privileges_here()) h where not wanted @> jsonb_build_array(h) loop
    execute format('revoke %s on database %I from %s cascade', p->>'privilege', current_database(), coalesce(quote_ident(p->>'grantee'), 'public'));
  end loop;
  for p in select w from jsonb_array_elements(wanted) w where not dbproxy.privileges_here() @> jsonb_build_array(w) loop
    execute format('grant %s on database %I to %s%s', p->>'privilege', current_database(), coalesce(quote_ident(p->>'grantee'), 'public'),
      case when (p->>'grantable')::boolean then ' with grant option' else '' end);
  end loop;
end $$;

create or replace function dbproxy.apply_roles(change jsonb) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare r jsonb; m jsonb; target oid; here oid := (select oid from pg_database where datname = current_database());
begin
  -- Names that are given up can be taken by others of the same change.
  perform dbproxy.rename_role(n::name, ('dbproxy_gone_' || md5(n))::name) from jsonb_array_elements_text(change->'gone') n;
  perform dbproxy.rename_role((c->>'was')::name, ('dbproxy_was_' || md5(c->>'was'))::name) from jsonb_array_elements(change->'changed') c where c->>'was' is not null;
  for r in select jsonb_array_elements(change->'changed') loop
    continue when r->>'name' = '';
    if r->>'was' is not null then perform dbproxy.rename_role(('dbproxy_was_' || md5(r->>'was'))::name, (r->>'name')::name); end if;
    if not exists (select from pg_authid where rolname = r->>'name') then execute format('create role %I', r->>'name'); end if;
  end loop;
  for r in select jsonb_array_elements(change->'changed') loop
    continue when r->>'name' = '';
    for m in select jsonb_array_elements(dbproxy.members_of((select oid from pg_authid where rolname = r->>'name'))) loop
      continue when r->'members' @> jsonb_build_array(m);
      execute format('revoke %I from %I granted by %I cascade', r->>'name', m->>'member', m->>'grantor');
    end loop;
  end loop;
  perform dbproxy.drop_role(('dbproxy_gone_' || md5(n))::name) from jsonb_array_elements_text(change->'gone') n;
  for r in select jsonb_array_elements(change->'changed') loop
    target := coalesce((select oid from pg_authid where rolname = r->>'name'), 0);
    delete from pg_db_role_setting where setrole = target and setdatabase in (0, here);
    insert into pg_db_role_setting select case when (s->>'here')::boolean then here else 0 end, target, array(select jsonb_array_elements_text(s->'config')) from jsonb_array_elements(r->'settings') s;
    if target = 0 then
      perform dbproxy.apply_privileges(r->'privileges');
      continue;
    end if;
    update pg_authid set rolsuper = a.rolsuper, rolinherit = a.rolinherit, rolcreaterole = a.rolcreaterole, rolcreatedb = a.rolcreatedb, rolcanlogin = a.rolcanlogin,
        rolreplication = a.rolreplication, rolbypassrls = a.rolbypassrls, rolconnlimit = a.rolconnlimit, rolpassword = a.rolpassword, rolvaliduntil = a.rolvaliduntil
      from jsonb_populate_record(null::pg_authid, r->'attributes') a where pg_authid.oid = target;
    perform dbproxy.apply_members((r->>'name')::name, r->'members');
    execute format('comment on role %I is %L', r->>'name', r->>'comment');
  end loop;
  perform dbproxy.remember_roles();
  perform dbproxy.refresh_code_of(array(select a.oid from pg_authid a join jsonb_array_elements(change->'changed') c on rolname = c->>'name'));
end $$;
`;
