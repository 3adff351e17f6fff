/** What an engine holds, so that two can be compared: writers at rest, or one that was built again from the log. */
import type { ClientBase } from 'pg';

export interface TableChecksum {
  readonly table: string;
  readonly rows: number;
  /** Sum over the rows of a hash of their text: equal for equal rows in whatever order. */
  readonly sum: string;
}

/**
 * Of every captured table, by name, in one snapshot. The hash is that of the row's text, not of its values: some types have no
 * hash, and that of an enum is made of OIDs, which are an engine's own.
 */
export async function checksums(connection: ClientBase): Promise<TableChecksum[]> {
  const { rows } = await connection.query<{ table: string; rows: string; sum: string }>(
    'select * from dbproxy.checksums()',
  );
  return rows.map((row) => ({ ...row, rows: Number(row.rows) }));
}
