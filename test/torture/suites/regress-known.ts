/** Hunks of the regression files that differ rightly, and why. Each was looked into; `docs/torture.md` lists the reasons. */
import type { Known } from '../suites.js';

const NUMBERS = /^ +\(?[\d,() |-]+$/;
const PLAN =
  /^( *QUERY PLAN *| *explain_parallel_append *|-+| .*(Scan|Filter|Cond|Join|Loop|Sort|Append|Aggregate|Gather|Limit|Materialize|Result|Workers|Subplans).*|\(\d+ rows?\))$/;

const SKIPPED_OR_NOTHING = /^WARNING: {2}permission denied to cluster "\S+", skipping it$/;

const FROM_THE_OLD_PLACES = 'ctid and cmin: a move writes the rows of a temporary table anew';
const DEAD_ROWS = 'size of a temporary table: dead rows do not move';
const PLANNED_ANEW =
  'a statement is prepared anew, and planned once when it is warmed: how often it was planned, and under which settings, is not kept';

export const known: readonly Known[] = [
  {
    test: 'cluster',
    straight: SKIPPED_OR_NOTHING,
    tortured: SKIPPED_OR_NOTHING,
    why: 'CLUSTER comes across tables in the order in which pg_index keeps its rows; a move makes and removes rows there, too',
  },
  {
    test: 'combocid',
    straight: /^ \(0,\d+\) \| +\d+ \| +\d+$/,
    tortured: /^ \(0,\d+\) \| +\d+ \| +\d+$/,
    why: FROM_THE_OLD_PLACES,
  },
  {
    test: 'create_index',
    straight:
      /^( +relname +\| relkind \| +case +|[-+]+| concur_temp_ind_\d \| i +\| relfilenode has changed|\(2 rows\))$/,
    tortured: /^( relname \| relkind \| case |[-+]+|\(0 rows\))$/,
    why: 'joins temporary objects by OIDs that were kept in a table: a move gives them others',
  },
  {
    test: 'guc',
    straight:
      /^(WARNING: {2}invalid configuration parameter name "plpgsql.extra_foo_warnings", removing it|DETAIL: {2}"plpgsql" is now a reserved prefix.)$/,
    tortured: /^$/,
    why: 'PL/pgSQL is loaded by the first look (sequences.ts asks in a DO block), so its prefix is reserved a statement earlier',
  },
  {
    test: 'guc',
    straight: /^$/,
    tortured:
      /^(ERROR: {2}invalid configuration parameter name "plpgsql.extra_foo_warnings"|DETAIL: {2}"plpgsql" is a reserved prefix.)$/,
    why: 'PL/pgSQL is loaded by the first look (sequences.ts asks in a DO block), so its prefix is reserved a statement earlier',
  },
  { test: 'plancache', straight: PLAN, tortured: PLAN, why: PLANNED_ANEW },
  {
    test: 'plancache',
    straight: /^ test_mode_pp \| +\d+ \| +\d+$/,
    tortured: /^ test_mode_pp \| +\d+ \| +\d+$/,
    why: PLANNED_ANEW,
  },
  {
    test: 'plancache',
    straight: new RegExp(
      `${NUMBERS.source}|^ +q1 +\\| +q2 +$|^[-+]+$|^\\(\\d rows?\\)$|^$|^ERROR: {2}cached plan must not change result type$`,
    ),
    tortured: /^ERROR: {2}relation "pcachetest" does not exist$/,
    why: 'a statement whose table is gone at the moment of a move stays broken, also when the table comes back',
  },
  {
    test: 'plancache',
    straight: /^$/,
    tortured: /^ERROR: {2}relation "pc_list_part_def" does not exist$/,
    why: 'a statement whose table is gone at the moment of a move cannot be deallocated: it is not there',
  },
  {
    test: 'portals',
    straight: /^ +name +\| +statement +\| is_holdable .*$|^[-+]+$|^ (foo25|foo25ns|c2|bc) +\| declare .*$/i,
    tortured: /^ +name +\| +statement +\| is_holdable .*$|^[-+]+$|^ (foo25|foo25ns|c2|bc) +\| declare .*$/i,
    why: 'pg_cursors shows the statement that declared the cursor anew',
  },
  {
    test: 'portals',
    straight: /^ +9850 \| +3 \|.*WOAAAA/,
    tortured: /^ +\d+ \| +[456] \|.*xx$/,
    why: 'FETCH ABSOLUTE of a NO SCROLL cursor counts from where it was at the move (held-cursors.ts)',
  },
  { test: 'reloptions', straight: /^ t$/, tortured: /^ f$/, why: DEAD_ROWS },
  { test: 'vacuum', straight: /^ t$/, tortured: /^ f$/, why: DEAD_ROWS },
  {
    test: 'rules',
    straight: /^ +\d+ \| r +\| +\d+$/,
    tortured: /^ +\d+ \| r +\| +\d+$/,
    why: 'prints an OID and a transaction number',
  },
  {
    test: 'sequence',
    straight: /^ +3$/,
    tortured: /^ +11$/,
    why: 'values that a session had cached (CACHE 10) become gaps',
  },
];
