/**
 * Rows 10 and 11: temporary tables with their rows, sequences, views, functions, types and domains. They live in the session's
 * own schema, which exists from the first one on and stays when they are dropped. A standby has no room for them, so all are
 * made after promotion: definitions are read ahead of time, and again only when a catalog has changed (`mark`); rows are read
 * when the session moves. What cannot be made again just as it was is an obstacle (temp-obstacles.ts).
 *
 * Whether a table is ON COMMIT DELETE ROWS is tried out (temp-on-commit.ts). ON COMMIT DROP never lives until a safe point.
 */
import { encode } from '../protocol/index.js';
import type { Rows } from './channel.js';
import { EXACT } from './exact.js';
import type { Ask, ReplayStep, StateKindModule } from './kind.js';
import { listed } from './kind.js';
import {
  NO_CONTENTS,
  bytesOf,
  contentsOf,
  fill,
  questions,
  setSequences,
  type TempContents,
} from './temp-data.js';
import { complete, create, emptyIndexes, identities, type Ddl } from './temp-ddl.js';
import { TABLES, oidsOf, onCommitOf, type OnCommit } from './temp-on-commit.js';
import { PRESENT } from './temp-obstacles.js';
import { TEMP } from './temp-schema.js';
import {
  BYTES,
  MARK,
  readDefinitions,
  SNAPSHOT,
  analyzedAsIn,
  type Definitions,
} from './temp-definitions.js';

export interface TempObjects {
  /** Oid of the session's own schema. */
  readonly schema: string;
  /** Empty: there is nothing. */
  readonly mark: string;
  readonly definitions: Definitions | null;
  /** What the tables take on disk; exactly what COPY wrote once the contents are there. */
  readonly bytes: number;
  readonly contents: TempContents;
  readonly onCommit: OnCommit;
  /** Oids of tables that may be ON COMMIT DELETE ROWS. */
  readonly doubtful: readonly number[];
  /** Of the cluster, when the mark was read: while it is the same, no transaction has written anything. */
  readonly snapshot: string;
  /** Without rows, values of sequences, and all that comes after the rows. */
  readonly bare: boolean;
}

const NOTHING: TempObjects = {
  schema: '0',
  mark: '',
  definitions: null,
  bytes: 0,
  contents: NO_CONTENTS,
  onCommit: new Map(),
  doubtful: [],
  snapshot: '',
  bare: false,
};

/** What can be made before the contents are known. */
export const bare = (state: TempObjects): TempObjects => ({ ...state, contents: NO_CONTENTS, bare: true });

/** Bytes of COPY that are read, sent and stored in a ms. Measured: bench/session-move.ts. */
const BYTES_PER_MS = 20_000;

export const tempObjects: StateKindModule<TempObjects> = {
  none: NOTHING,

  *read({ contents }, previous) {
    // Alone, for every session: to plan the questions that follow takes longer than all the rest of a look.
    const schema: Rows = yield { select: [TEMP, SNAPSHOT] };
    const [temp = '0', snapshot] = schema[0] ?? [];
    if (temp === '0') return NOTHING;
    const isWhole = previous?.definitions && previous.doubtful.length === 0;
    if (contents && isWhole && previous.snapshot === snapshot) {
      const analyzed: Rows = yield { select: [analyzedAsIn(previous.definitions)] };
      if (analyzed[0]?.[0] === 't') return yield* withContents(previous, previous.definitions);
    }
    const found: Rows = yield { select: [MARK, BYTES, TABLES] };
    const [mark, bytes, tables] = found[0] ?? [];
    if (!mark) return NOTHING;
    const known = previous?.mark === mark ? previous.definitions : null;
    const definitions = known ?? (yield* define());
    if (isEmpty(definitions)) return { ...NOTHING, schema: temp ?? '0', mark };
    const onCommit = yield* onCommitOf(
      definitions.plpgsql ? (tables ?? '') : '',
      previous?.onCommit ?? NOTHING.onCommit,
    );
    const state = {
      ...{
        schema: temp ?? '0',
        mark,
        definitions,
        bytes: Number(bytes ?? 0),
        contents: NO_CONTENTS,
        onCommit,
        bare: false,
      },
      ...{ doubtful: oidsOf(tables).filter((oid) => !onCommit.has(oid)), snapshot: snapshot ?? '' },
    };
    return contents ? yield* withContents(state, definitions) : state;
  },

  summarize({ definitions }) {
    if (!definitions) return null;
    const names = namesOf(definitions);
    return { count: names.length, detail: listed(names.length, 'temporary object', names) };
  },

  obstacle({ definitions, bytes, doubtful }, { tempBytes }) {
    if (!definitions) return null;
    const [obstacle] = definitions.obstacles;
    if (obstacle !== undefined) return `temporary ${obstacle}, which cannot be made again exactly`;
    const table = definitions.relations.find(({ oid }) => doubtful.includes(oid));
    if (table) return `temporary table ${table.name}, perhaps ON COMMIT DELETE ROWS`;
    return bytes > tempBytes ? `temporary tables of ${bytes} bytes, over the limit of ${tempBytes}` : null;
  },

  // A type or a function that they use can be dropped, with what needs it, or renamed.
  othersCanChange: ({ definitions }) => definitions !== null,
  hasContents: ({ definitions }) => definitions !== null && questions(definitions).length > 0,

  counts: ({ definitions, bytes }) => ({
    tempTables: definitions?.relations.filter(({ kind }) => kind === 'r').length ?? 0,
    tempBytes: bytes,
  }),

  estimate: ({ definitions, bytes }) => ({
    bytes,
    ms: (definitions ? namesOf(definitions).length * 2 : 0) + bytes / BYTES_PER_MS,
  }),

  replay(wanted, there) {
    if (wanted === there) return [];
    if (!wanted.definitions) {
      if (there.definitions) return [DISCARD];
      return wanted.mark !== '' && there.mark === '' ? EMPTY_SCHEMA : [];
    }
    const { definitions, contents, onCommit } = wanted;
    const isThere = there.bare && there.definitions === definitions && there.onCommit === onCommit;
    return [
      ...(there.definitions && !isThere ? [DISCARD] : []),
      query(BEGIN, 'temporary objects'),
      ...(isThere ? [] : [...create(definitions, onCommit), ...emptyIndexes(definitions)].map(ddl)),
      ...(wanted.bare ? [] : completed(definitions, contents)),
      query('commit', 'temporary objects'),
    ];
  },
};

const completed = (definitions: Definitions, contents: TempContents): ReplayStep[] => [
  ...fill(definitions, contents).map(({ what, messages }) => ({ ...AFTER, what, messages })),
  ...[...identities(definitions), ...setSequences(definitions, contents), ...complete(definitions)].map(ddl),
];

function* withContents(state: TempObjects, definitions: Definitions): Generator<Ask, TempObjects, Rows> {
  const asked = definitions.obstacles.length > 0 ? [] : questions(definitions);
  if (asked.length === 0) return state;
  const contents = contentsOf(definitions, yield { exactly: asked });
  return { ...state, bytes: bytesOf(contents), contents };
}

function* define(): Generator<Ask, Definitions, Rows> {
  const present: Rows = yield { select: [PRESENT] };
  const features = new Set(present[0]?.[0]?.split(' '));
  const rows: Rows = yield { exact: readDefinitions(features) };
  // Bytes of the server's encoding, one character each; what is not ASCII stands for itself in JSON.
  const text = rows[0]?.[0] ?? '';
  const definitions = JSON.parse(text) as Definitions;
  // It is there once, as `schema`; where a dot follows, it is put right (own).
  const spelled = text.match(new RegExp(`${definitions.schema}(?![.0-9])`, 'g')) ?? [];
  return spelled.length > 1
    ? { ...definitions, obstacles: [...definitions.obstacles, 'object that names its schema by number'] }
    : definitions;
}

const isEmpty = ({ types, functions, relations, obstacles }: Definitions): boolean =>
  types.length + functions.length + relations.length + obstacles.length === 0;

const namesOf = ({ types, functions, relations, obstacles }: Definitions): string[] => {
  const names = [
    ...relations.filter(({ ownedBy }) => !ownedBy).map(({ name }) => name),
    ...functions.map(({ name }) => name),
    ...types.map(({ name }) => name),
  ];
  return names.length > 0 ? names : [...obstacles];
};

const AFTER: Pick<ReplayStep, 'ends' | 'onError' | 'afterPromotion'> = {
  ends: 'query',
  onError: 'fail',
  afterPromotion: true,
};
const query = (sql: string, what: string): ReplayStep => ({ ...AFTER, messages: encode.query(sql), what });
const ddl = ({ sql, what }: Ddl): ReplayStep => query(sql, what);

/**
 * The session may be read-only by default. No crash leaves anything of it that would have to be durable. Event triggers have seen all this once already: they are off where the login may say so
 * (PostgreSQL 17). Tables lie where they lay: others are obstacles. Bodies of functions are not looked
 * into, because what they need may come later.
 */
const BEGIN = `begin isolation level read committed read write not deferrable; ${EXACT};
  set local synchronous_commit to off; set local check_function_bodies to off; set local default_table_access_method to heap;
  set local default_tablespace to ''; set local temp_tablespaces to '';
  select case when pg_catalog.current_setting('event_triggers', true) is not null
      and pg_catalog.has_parameter_privilege(current_user, 'event_triggers', 'set')
    then pg_catalog.set_config('event_triggers', 'off', true) end`;

const DISCARD = query('discard temp', 'temporary objects');

/** What is missing in it fails in other words than what is missing in no schema. The right to make one may be gone by now. */
const EMPTY_SCHEMA: ReplayStep[] = [
  query('begin isolation level read committed read write not deferrable', 'schema of temporary objects'),
  {
    ...query(
      'create domain pg_temp.dbproxy as pg_catalog.int4; drop domain pg_temp.dbproxy',
      'schema of temporary objects',
    ),
    onError: 'carry',
  },
  query('commit', 'schema of temporary objects'),
];
