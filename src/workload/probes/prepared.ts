/** A statement prepared by SQL, and one by the protocol, where drivers keep theirs. */
import { expectSame, lostWhen, type Probe } from './probe.js';

const INVALID_SQL_STATEMENT_NAME = '26000';

export const prepared: Probe = {
  name: 'prepared',
  summary: 'a statement prepared by SQL and one prepared by the driver, executed again and again',
  open: async ({ client, context: { random, clientId } }) => {
    const mark = clientId * 1000 + Math.floor(random() * 1000);
    // New names for every state: other works of the connection have statements of their own, which stay. And pg sends Parse
    // once per name and connection; from then on it relies on the statement.
    const id = `${mark}_${Math.floor(random() * 2 ** 31)}`;
    await client.query(`PREPARE probe_sql_${id} (int) AS SELECT $1 + ${mark} AS n`);
    const named = { name: `probe_driver_${id}`, text: `SELECT $1::int - ${mark} AS n` };
    const turn = async (): Promise<void> => {
      const n = Math.floor(random() * 1000);
      const execute = client.query<{ n: number }>(`EXECUTE probe_sql_${id} (${n})`);
      const bySql = await lostWhen([INVALID_SQL_STATEMENT_NAME], 'the statement prepared by SQL', execute);
      expectSame('what the statement prepared by SQL answers', bySql.rows[0]?.n, n + mark);
      const byDriver = await lostWhen(
        [INVALID_SQL_STATEMENT_NAME],
        "the driver's prepared statement",
        client.query<{ n: number }>({ ...named, values: [n] }),
      );
      expectSame("what the driver's prepared statement answers", byDriver.rows[0]?.n, n - mark);
    };
    await turn();
    return turn;
  },
};
