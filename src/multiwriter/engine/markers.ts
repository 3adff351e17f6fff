/** Where an engine stands, from the markers that each transaction left in it. */
import type { ClientBase } from 'pg';
import type { Vector } from '../protocol/index.js';
import type { Ask } from './in-turn.js';
import { readVector } from './transaction.js';

/** What is in the engine of each stream without a gap; for `new Writer(…)`. Whatever it has beyond that, `apply` skips. */
export const reached = (connection: ClientBase): Promise<Vector> =>
  vectorOf(connection, 'select dbproxy.reached()::text as vector');

/** What the base of a transaction says that begins now: of each stream the highest marker. */
export const claimed = (connection: ClientBase): Promise<Vector> =>
  vectorOf(connection, 'select dbproxy.position() as vector');

async function vectorOf(connection: ClientBase, sql: string): Promise<Vector> {
  const { rows } = await connection.query<{ vector: string }>(sql);
  return readVector(rows[0]?.vector ?? '{}');
}

/** So many transactions that gave themselves a name are remembered by it. */
const NAMES_KEPT = 100_000;

/**
 * Tells the engine that up to there its streams have no gap (only the protocol knows which LSNs are void), and drops those
 * markers. Every effect up to the vector must have been carried out: `Writer.reached` alone is not enough.
 */
export async function compact(ask: Ask, vector: Vector): Promise<void> {
  await ask('select dbproxy.compact($1), dbproxy.forget_names($2)', [JSON.stringify(vector), NAMES_KEPT]);
}

/** Why the engine is not what the log says; null: it is, as far as anybody knows. */
export async function divergence(connection: ClientBase): Promise<string | null> {
  const { rows } = await connection.query<{ diverged: string | null }>('select diverged from dbproxy.self');
  return rows[0]?.diverged ?? null;
}

export async function markDiverged(connection: ClientBase, reason: string): Promise<void> {
  await connection.query('update dbproxy.self set diverged = $1', [reason]);
}
