/** Makes an engine that of a writer: schema `dbproxy`, capture on every table, the guard, sequences that step in turn. */
import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import type { WriterId } from '../protocol/index.js';
import { APPLY } from './sql/apply.js';
import { CAPTURE } from './sql/capture.js';
import { COMPUTED } from './sql/computed.js';
import { DDL, WITH_DDL, WITHOUT_DDL } from './sql/ddl.js';
import { ENGINE_OWN } from './sql/engine-own.js';
import { GUARD } from './sql/guard.js';
import { HELD_CURSORS } from './sql/held-cursors.js';
import { MARKERS } from './sql/markers.js';
import { NAMES } from './sql/names.js';
import { OUTCOMES } from './sql/outcomes.js';
import { READABLE } from './sql/readable.js';
import { REFRESH } from './sql/refresh.js';
import { REFUSED } from './sql/refused.js';
import { RIGHTS } from './sql/rights.js';
import { ROLES } from './sql/roles.js';
import { RUNNING_CODE } from './sql/running-code.js';
import { SEQUENCES } from './sql/sequences.js';
import { proofOf } from './transaction.js';

const PARTS = [
  ...[WITHOUT_DDL, MARKERS, GUARD, RUNNING_CODE, CAPTURE, READABLE, ENGINE_OWN, NAMES, HELD_CURSORS],
  ...[SEQUENCES, ROLES, OUTCOMES, APPLY, COMPUTED, REFUSED, REFRESH, DDL, RIGHTS],
];

/** Names the SQL. Not computed where nothing is installed: every proxy loads this. */
const installed = (): string =>
  createHash('sha256')
    .update([...PARTS, WITH_DDL].join('\n'))
    .digest('hex');

/** SQLSTATE undefined_column: of a build that did not say by which SQL. */
const UNDEFINED_COLUMN = '42703';

export interface Installation {
  /** Whose engine it is; its sequences give out the numbers of this writer. */
  readonly writer: WriterId;
  /** All that will write, this one included. */
  readonly writers: readonly WriterId[];
  /** Of the writer; part of the names of its transactions. */
  readonly incarnation: number;
  /** What the proxy proves itself by (transaction.ts). Installing again with another one replaces it. */
  readonly secret: string;
}

/**
 * In the database that the connection is to, as a superuser; once more at every start: a copy of another writer's engine becomes
 * this one's, and functions of an older version are replaced. No transaction of a client may be under way.
 */
export async function install(
  connection: ClientBase,
  { writer, writers, incarnation, secret }: Installation,
): Promise<void> {
  await connection.query('begin');
  try {
    await connection.query(
      `set local search_path = pg_catalog; set local client_min_messages = warning; set local standard_conforming_strings = on`,
    );
    for (const part of PARTS) await connection.query(part);
    await connection.query('select dbproxy.become($1, $2, $3, $4)', [
      writer,
      [...writers],
      incarnation,
      proofOf(secret),
    ]);
    await connection.query('update dbproxy.self set installed = $1', [installed()]);
    await connection.query(WITH_DDL);
    await connection.query('commit');
  } catch (error) {
    await connection.query('rollback');
    throw error;
  }
}

/**
 * In place of `install`, where this writer's next incarnation takes over while everybody stands still: what the engine has is up to date.
 * A tenth of a second, and more with each table, would be waited for by all sessions. False: it has it from other SQL, or is not this
 * writer's, and has to be installed.
 */
export async function renew(
  connection: ClientBase,
  { writer, writers, incarnation, secret }: Installation,
): Promise<boolean> {
  try {
    const { rowCount } = await connection.query(
      'update dbproxy.self set incarnation = $3 where writer = $1 and writers = $2 and secret = $4 and installed = $5',
      [writer, [...writers], incarnation, proofOf(secret), installed()],
    );
    return rowCount === 1;
  } catch (error) {
    if ((error as { code?: string }).code === UNDEFINED_COLUMN) return false;
    throw error;
  }
}
