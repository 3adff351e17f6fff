/**
 * What is claimed of every kind of session state, and the tests that show it: the table of docs/session-state.md is made of
 * this, and `npm run mutants` runs the tests of each kind without its replay, when every one of them must fail. Keyed by the
 * names of the kinds, so that one without an entry is a type error.
 */
import { kinds, type KindName } from './kinds.js';

/** Parts of a session that are no kind of their own, because they are no question to the engine. */
export type OtherPart = 'startUpSettings' | 'parameterStatus' | 'cancelKey';
export type Part = KindName | OtherPart;

export interface Evidence {
  /** Rows of the design's list. */
  readonly rows: string;
  readonly state: string;
  readonly how: string;
  /** Nobody can move it. */
  readonly never?: true;
  /** Tests that move it through a real switch and look at it afterwards; of what does not move, those that recognise it. */
  readonly tests: readonly EvidenceTest[];
}

export interface EvidenceTest {
  readonly file: string;
  /** As it stands in the file, `%s` included. */
  readonly name: string;
}

const tests = (file: string, ...names: string[]): EvidenceTest[] =>
  names.map((name) => ({ file: `test/${file}.test.ts`, name }));

export const evidence: Readonly<Record<Part, Evidence>> = {
  settings: {
    rows: '1, 16',
    state: 'settings of the session (`SET`, `set_config`), default transaction characteristics',
    how: 'those that differ are set on the new engine; after promotion where a standby refuses the value',
    tests: tests(
      'proxy/move-state',
      'settings of every way to set them (row 1)',
      'default transaction characteristics (row 16)',
      'limits that would end the connection while it waits',
    ),
  },
  startUpSettings: {
    rows: '2',
    state: 'settings from the start of the connection (`options`, `application_name` …)',
    how: 'the connection to the new engine starts with the same ones, so `RESET ALL` gives the same values',
    tests: tests('proxy/move-state', 'start-up settings: what RESET ALL goes back to (row 2)'),
  },
  customSettings: {
    rows: '3',
    state: 'custom settings (`app.user_id`)',
    how: 'no catalog lists them: names are collected from what passes by, values are read from the engine',
    tests: tests(
      'proxy/move-state',
      'custom settings, by SET, by set_config with parameters, and after SET LOCAL (row 3)',
      'custom settings that a function sets by a name only it knows (row 3)',
    ),
  },
  role: {
    rows: '4, 5',
    state: '`SET ROLE`, `SET SESSION AUTHORIZATION`',
    how: 'replayed last, in a session of the real login role',
    tests: tests(
      'proxy/move-state',
      'SET ROLE, with what is prepared under it (row 4)',
      'SET SESSION AUTHORIZATION (row 5)',
    ),
  },
  preparedStatements: {
    rows: '6, 7',
    state: 'prepared statements, of the protocol and of SQL',
    how: 'prepared again under the same names; one that no longer parses fails when it is used, as before',
    tests: tests(
      'proxy/move-state',
      'named prepared statements of the protocol (row 6)',
      'PREPARE, alone and among other statements that must not run again (row 7)',
    ),
  },
  unnamedStatement: {
    rows: '8',
    state: 'the unnamed statement',
    how: 'the proxy keeps the last one and parses it again: drivers parse once and bind many times',
    tests: tests('proxy/move-state', 'the unnamed statement (row 8)'),
  },
  heldCursors: {
    rows: '9',
    state: '`WITH HOLD` cursors',
    how: 'rows are read after promotion and declared again as arrays, one for each column, at the same position',
    tests: tests('session-state/switch-cursors-sequences', 'held cursors, currval and lastval, LOAD; twice'),
  },
  tempObjects: {
    rows: '10, 11',
    state: 'temporary tables with their rows, views, sequences, functions, types, domains',
    how: 'made again after promotion from the catalogs, in the order of what needs what; rows by COPY; an object that cannot be made again exactly (aggregates, operators, row security, rules …) is named and stands in the way',
    tests: tests('session-state/switch-temp-objects', 'temporary objects and their rows; twice'),
  },
  listen: {
    rows: '12',
    state: '`LISTEN`',
    how: 'committed on the new engine before any session goes on there; what was notified until then is delivered first',
    tests: tests(
      'proxy/move-shared',
      'no notification is lost or doubled in a storm through three switches',
      'channels of any name; what was unlistened stays so; a listener of its own notifications',
    ),
  },
  advisoryLocks: {
    rows: '13',
    state: 'session advisory locks',
    how: 'counted by giving them up on the old engine, and taken on the new one before any session goes on there',
    tests: tests(
      'proxy/move-shared',
      'of every form move with their counts, twice, and no other session gets one meanwhile',
      'taken after the warm phase, or given up after it, are as they are at the hold',
    ),
  },
  sequences: {
    rows: '14',
    state: '`currval`, `lastval`',
    how: 'in a transaction that is rolled back: the shared sequence stays as it is; not while a prepared transaction has drawn from it',
    tests: tests(
      'session-state/switch-cursors-sequences',
      'held cursors, currval and lastval, LOAD; twice',
      'a prepared transaction that has drawn keeps those who have drawn where they are, and none of them is lost',
    ),
  },
  loadedLibraries: {
    rows: '15',
    state: 'libraries of `LOAD`',
    how: 'the command runs again, before all settings',
    tests: tests('session-state/switch-cursors-sequences', 'held cursors, currval and lastval, LOAD; twice'),
  },
  parameterStatus: {
    rows: '17',
    state: 'values that the server reports (`client_encoding` …)',
    how: 'the client is told what has changed, and nothing else',
    tests: tests('proxy/move-state', 'no client was told of a parameter that did not change for it (row 17)'),
  },
  cancelKey: {
    rows: '18',
    state: 'the key for cancelling',
    how: "the client holds a key of the proxy's own; a cancel reaches the engine that serves the session now",
    tests: tests('proxy/move-state', 'the key a client holds cancels on the engine it is on now (row 18)'),
  },
  extensionMemory: {
    rows: '19',
    state:
      'dblink connections, variables of PL/Perl, PL/Python, PL/Tcl, the position of `random()` after `setseed`',
    how: 'nobody can read them: open dblink connections stand in the way, the rest is reported as lost',
    never: true,
    tests: tests(
      'session-state/extension-memory',
      'dblink connections stand in the way, by name',
      'variables of an installed language may be lost, and that does not stand in the way',
      'setseed in a %s: the position of random() is lost',
    ),
  },
};

export const parts = Object.keys(evidence) as Part[];

const isKind = (part: Part): part is KindName => part in kinds;

export const movesOf = (part: Part): 'yes' | 'no' | 'not yet' => {
  if (evidence[part].never) return 'no';
  return isKind(part) && kinds[part].replay === null ? 'not yet' : 'yes';
};

/** Those whose replay can be left out (without-replay.ts). */
export const mutants: readonly Part[] = parts.filter(
  (part) => movesOf(part) === 'yes' && (isKind(part) || part === 'startUpSettings'),
);
