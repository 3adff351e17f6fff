/**
 * The rows of temporary tables and the values of temporary sequences. Rows travel as COPY writes them: binary where all types of
 * a table are built in, else as text, because the binary form of composite and array values holds the oids of their types.
 */
/* eslint dbproxy/sql-quoting: 'off' -- names of tables, columns and owners come quoted from the engine (temp-definitions.ts: quote_ident) */
import { Frontend, encode } from '../protocol/index.js';
import type { Rows } from './channel.js';
import { literal } from './kind.js';
import { asOwner, type Ddl } from './temp-ddl.js';
import type { Definitions, Relation } from './temp-definitions.js';

export interface TempContents {
  /** By name of the table, what COPY TO wrote; one character for a byte. */
  readonly rows: ReadonlyMap<string, string>;
  /** By name of the sequence: last_value, and whether nextval has returned it. */
  readonly sequences: ReadonlyMap<string, { readonly value: string; readonly called: boolean }>;
}

export const NO_CONTENTS: TempContents = { rows: new Map(), sequences: new Map() };

const tablesOf = ({ relations }: Definitions): readonly Relation[] =>
  relations.filter(({ kind }) => kind === 'r');
const sequencesOf = ({ relations }: Definitions): readonly Relation[] =>
  relations.filter(({ kind }) => kind === 'S');

/** Statements of which each gives one row: of three columns for a sequence, of one with all its rows for a table. */
export const questions = (definitions: Definitions): string[] => [
  ...sequencesOf(definitions).map(
    (sequence) =>
      `${asReader(sequence)} select ${literal(sequence.name)}, last_value, is_called from ${sequence.name}`,
  ),
  ...tablesOf(definitions).map(
    (table) =>
      asReader(table) +
      (hasColumns(table)
        ? `copy ${target(table)} to stdout${format(table)}`
        : `select pg_catalog.count(*) from only ${table.name}`),
  ),
];

/** An owner may have taken the right to read from itself, and may give it back. All is rolled back. */
const asReader = ({ owner, readable, name }: Relation): string =>
  `set local role ${owner ?? 'none'}; ${readable ? '' : `grant select on ${name} to current_user;`}`;

/** Of its own, that hold something; without them rows can only be counted. */
const hasColumns = ({ columns }: Relation): boolean => columns.some(({ generated }) => !generated);

export const contentsOf = (definitions: Definitions, answers: Rows): TempContents => {
  const tables = answers.filter(({ length }) => length === 1);
  return {
    sequences: new Map(
      answers
        .filter(({ length }) => length === 3)
        .map(([name, value, called]) => [name ?? '', { value: value ?? '', called: called === 't' }]),
    ),
    rows: new Map(tablesOf(definitions).map(({ name }, i) => [name, tables[i]?.[0] ?? ''])),
  };
};

export const bytesOf = ({ rows }: TempContents): number =>
  [...rows.values()].reduce((sum, { length }) => sum + length, 0);

/** COPY FROM, and what it reads. */
export const fill = (
  definitions: Definitions,
  contents: TempContents,
): { what: string; messages: Buffer }[] => {
  const rowsOf = ({ name }: Relation): string => contents.rows.get(name) ?? '';
  return tablesOf(definitions).map((table) => ({
    what: `rows of temporary table ${table.name}`,
    messages: hasColumns(table)
      ? Buffer.concat([
          encode.query(
            asOwner(table.owner, `copy ${target(table)} from stdin${format(table)}${one(rowsOf(table))}`),
          ),
          ...chunks(rowsOf(table)),
          encode.message(Frontend.CopyDone),
        ])
      : encode.query(
          asOwner(
            table.owner,
            `insert into ${table.name} select from pg_catalog.generate_series(1, ${rowsOf(table) || '0'})`,
          ),
        ),
  }));
};

/**
 * Up to here a volatile condition, which keeps COPY from storing rows by the thousand, is faster: that many slots pin the table's
 * description, and each pin is looked for among all of them (resowner.c). 1 000 rows take 1.3 ms instead of 2.8, 100 000 rows 10 % more.
 */
const FEW_BYTES = 256 * 1024;
const one = (rows: string): string =>
  rows.length > FEW_BYTES ? '' : ' where pg_catalog.clock_timestamp() is not null';

/** setval() also sets currval and lastval, of which this session may have no idea: they are forgotten again. */
export const setSequences = (definitions: Definitions, { sequences }: TempContents): Ddl[] => {
  const set = sequencesOf(definitions).flatMap(({ name, owner }) => {
    const state = sequences.get(name);
    if (!state) return [];
    const sql = `select pg_catalog.setval(${literal(name)}::pg_catalog.regclass, ${state.value}, ${state.called})`;
    return [{ sql: asOwner(owner, sql), what: `value of temporary sequence ${name}` }];
  });
  return set.length === 0
    ? []
    : [...set, { sql: 'discard sequences', what: 'values of temporary sequences' }];
};

const target = ({ name, columns }: Relation): string =>
  `${name} (${columns
    .filter(({ generated }) => !generated)
    .map(({ name: column }) => column)
    .join(', ')})`;

const format = ({ columns }: Relation): string =>
  columns.every(({ builtIn }) => builtIn) ? ' with (format binary)' : '';

/** CopyData messages of a bounded length. */
const CHUNK_BYTES = 64 * 1024;

const chunks = (rows: string): Buffer[] => {
  const bytes = Buffer.from(rows, 'latin1');
  const messages: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
    messages.push(encode.message(Frontend.CopyData, bytes.subarray(at, at + CHUNK_BYTES)));
  return messages;
};
