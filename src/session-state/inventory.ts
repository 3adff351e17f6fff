/**
 * What a session holds, item by item, with values and sizes: for people who look at one session. `report.ts` has it in one line
 * for each kind.
 */
import { kindNames, kinds, type KindName, type SessionState } from './kinds.js';
import type { StateKindModule } from './kind.js';

export interface HeldItem {
  readonly kind: KindName;
  readonly name: string;
  /** Its value, or what it is; empty when the name says it all. */
  readonly detail: string;
  /** Of a temporary relation that has a file: its oid. */
  readonly oid?: number;
}

type Item = Omit<HeldItem, 'kind'>;
type ItemsOf = { readonly [K in KindName]?: (state: SessionState[K]) => readonly Item[] };

const RELATIONS = { r: 'table', p: 'partitioned table', v: 'view', S: 'sequence', c: 'type' } as const;
const TYPES = { e: 'enum', d: 'domain', r: 'range type' } as const;

const itemsOf: ItemsOf = {
  settings: ({ values }) =>
    [...values].filter(([, { own }]) => own).map(([name, { value }]) => ({ name, detail: value })),
  customSettings: ({ values }) => [...values].map(([name, value]) => ({ name, detail: value })),
  preparedStatements: ({ byName }) => [...byName].map(([name, { sql }]) => ({ name, detail: sql })),
  tempObjects: ({ definitions, onCommit }) => {
    if (!definitions) return [];
    const { relations, functions, types } = definitions;
    return [
      ...relations.map(({ name, kind, oid }) => ({
        name,
        detail: RELATIONS[kind] + (onCommit.get(oid) === true ? ' on commit delete rows' : ''),
        ...(kind === 'r' ? { oid } : {}),
      })),
      ...functions.map(({ name, word }) => ({ name, detail: word.toLowerCase() })),
      ...types.map(({ name, kind }) => ({ name, detail: TYPES[kind] })),
    ];
  },
  heldCursors: ({ cursors }) =>
    cursors.map(({ name, scrollable, count }) => ({
      name,
      detail: `${scrollable ? 'scroll' : 'no scroll'}, ${count === null ? 'rows not counted' : `${count} rows`}`,
    })),
  advisoryLocks: ({ locks }) =>
    locks.map(({ key, shared }) => ({ name: key, detail: shared ? 'shared' : 'exclusive' })),
  listen: (channels) => channels.map((name) => ({ name, detail: '' })),
  sequences: ({ values, last }) =>
    [...values].map(([name, { value }]) => ({
      name,
      detail: `currval ${value}${name === last ? ', lastval' : ''}`,
    })),
  loadedLibraries: ({ statements }) => statements.map((name) => ({ name, detail: '' })),
  role: ({ role }) => (role === 'none' ? [] : [{ name: role, detail: '' }]),
};

/** In the order of replay. A kind that has no items of its own is told in the words of its summary. */
export const inventory = (state: SessionState): HeldItem[] =>
  kindNames.flatMap((kind) => {
    const list = itemsOf[kind] as ((state: unknown) => readonly Item[]) | undefined;
    const items = list?.(state[kind]) ?? inWords(kind, state);
    return items.map(({ name, detail, ...rest }) => ({
      kind,
      name: readable(name),
      detail: readable(detail),
      ...rest,
    }));
  });

const inWords = (kind: KindName, state: SessionState): Item[] => {
  const summary = (kinds[kind] as StateKindModule<unknown>).summarize(state[kind]);
  return summary ? [{ name: summary.detail, detail: '' }] : [];
};

/** Texts are the server's bytes, one a character; where they are UTF-8 they can be read. */
const readable = (text: string): string => {
  const bytes = Buffer.from(text, 'latin1');
  if (bytes.toString('latin1') !== text) return text;
  const decoded = bytes.toString('utf8');
  return decoded.includes('\ufffd') ? text : decoded;
};
