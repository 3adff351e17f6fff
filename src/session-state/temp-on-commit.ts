/**
 * Row 10: ON COMMIT DELETE ROWS is in no catalog, and texts do not tell (a function may have made the table, a statement may
 * have failed). But it can be seen: a commit truncates the file of such a table, and nobody else's. It has a page after a
 * transaction that was rolled back. Else a row is put into it, in a subtransaction that is rolled back; the row is gone either way, and after the commit the file
 * has a page or it has none. In that subtransaction all that could refuse the row, or that it could set off, is dropped.
 */
import type { Rows } from './channel.js';
import { AS_LOGIN_USER } from './exact.js';
import type { Ask } from './kind.js';
import { TEMP } from './temp-schema.js';

/** Oids of all tables, as a list. */
export const TABLES = `(select pg_catalog.string_agg(oid::pg_catalog.text, ' ')
  from pg_catalog.pg_class where relnamespace = ${TEMP} and relkind = 'r')`;

const EMPTY = `(select pg_catalog.string_agg(oid::pg_catalog.text, ' ')
  from pg_catalog.pg_class where relnamespace = ${TEMP} and relkind = 'r' and pg_catalog.pg_relation_size(oid) = 0)`;

/** By oid: is it ON COMMIT DELETE ROWS? One that is not in it could not be probed. */
export type OnCommit = ReadonlyMap<number, boolean>;

/** `tables`: what TABLES gave. What is known of a table stays so. */
export function* onCommitOf(tables: string, known: OnCommit): Generator<Ask, OnCommit, Rows> {
  const oids = oidsOf(tables);
  const unknown = oids.filter((oid) => !known.has(oid));
  if (unknown.length === 0) return known;
  const found = new Map(known);
  const [probed, emptied]: Rows = yield { committed: probe(unknown) };
  const still = oidsOf(emptied?.[0]);
  for (const oid of oidsOf(probed?.[0])) found.set(oid, still.includes(oid));
  return found;
}

export const oidsOf = (text: string | null | undefined): number[] => text?.match(/\d+/g)?.map(Number) ?? [];

const probe = (oids: readonly number[]): string[] => [
  'begin isolation level read committed read write not deferrable',
  `${AS_LOGIN_USER}; set local statement_timeout = 0; set local lock_timeout = 0; set local client_min_messages = error;
   set local search_path = pg_catalog`,
  `do $dbproxy$
    declare
      oids constant pg_catalog.oid[] := '{${oids.join()}}';
      tab pg_catalog.record;
      part pg_catalog.text;
      made pg_catalog.int8;
      probed pg_catalog.text := '';
    begin
      if pg_catalog.current_setting('transaction_timeout', true) is not null then
        perform pg_catalog.set_config('transaction_timeout', '0', true);
      end if;
      begin
        perform pg_catalog.set_config('event_triggers', 'off', true);
      exception when others then null; -- Not there before PostgreSQL 17, and not for everybody.
      end;
      for tab in select c.oid, c.relispartition, c.relowner, pg_catalog.format('pg_temp.%I', c.relname) as name,
          pg_catalog.pg_relation_size(c.oid) > 0 as filled
        from pg_catalog.pg_class c where c.oid = any (oids)
      loop
        if tab.filled then
          probed := probed || ' ' || tab.oid;
          continue;
        end if;
        begin
          execute pg_catalog.format('set local role %I', pg_catalog.pg_get_userbyid(tab.relowner));
          for part in select s.sql from (
              select 1, pg_catalog.format('grant insert on %s to current_user', tab.name)
              union all select 2, pg_catalog.format(case when tab.relispartition then 'alter table %1$s detach partition %2$s'
                  else 'alter table %2$s no inherit %1$s' end, i.inhparent::pg_catalog.regclass, tab.name)
                from pg_catalog.pg_inherits i where i.inhrelid = tab.oid
              union all select 3, pg_catalog.format('alter table %s disable trigger user', tab.name)
              union all select 4, pg_catalog.format('alter table %s drop constraint if exists %I cascade', tab.name, k.conname)
                from pg_catalog.pg_constraint k where k.conrelid = tab.oid
              union all select 5, pg_catalog.format('alter table %s drop column if exists %I cascade', tab.name, a.attname)
                from pg_catalog.pg_attribute a where a.attrelid = tab.oid and a.attnum > 0 and not a.attisdropped
              union all select 6, pg_catalog.format('insert into %s default values', tab.name)
            ) s (step, sql) order by s.step
          loop
            execute part;
          end loop;
          get diagnostics made = row_count;
          if made = 1 then probed := probed || ' ' || tab.oid; end if;
          raise 'undone';
        exception when others then null;
        end;
      end loop;
      perform pg_catalog.set_config('search_path', pg_catalog.quote_ident('probed' || probed), true);
    end $dbproxy$`,
  `select pg_catalog.current_setting('search_path')`,
  'commit',
  `select pg_catalog.concat('emptied ', ${EMPTY})`,
];
