/** A temporary table whose rows the session changes and adds up. */
import { expectSame, lostWhen, type Probe } from './probe.js';

const ROWS = 100;
const UNDEFINED_TABLE = '42P01';

export const tempTable: Probe = {
  name: 'temp-table',
  summary: `a temporary table of ${ROWS} rows, changed and added up`,
  open: async ({ client, context: { random } }) => {
    await client.query('DROP TABLE IF EXISTS pg_temp.probe_rows');
    await client.query('CREATE TEMPORARY TABLE probe_rows (id int PRIMARY KEY, n int NOT NULL)');
    await client.query(`INSERT INTO probe_rows SELECT id, 0 FROM generate_series(1, ${ROWS}) AS id`);
    let sum = 0;
    return async () => {
      const id = 1 + Math.floor(random() * ROWS);
      const added = Math.floor(random() * 100);
      const update = `UPDATE pg_temp.probe_rows SET n = n + ${added} WHERE id = ${id}`;
      await lostWhen([UNDEFINED_TABLE, '3F000'], 'the temporary table', client.query(update));
      sum += added;
      const { rows } = await client.query<{ rows: number; sum: number }>(
        'SELECT count(*)::int AS rows, sum(n)::int AS sum FROM pg_temp.probe_rows',
      );
      expectSame('rows of the temporary table', rows[0]?.rows, ROWS);
      expectSame('sum of the temporary table', rows[0]?.sum, sum);
    };
  },
};
