/** A result of some megabytes, which a switch must neither cut nor mix with another session's. */
import { expectSame, type Probe } from './probe.js';

const ROWS = 10_000;
const WIDTH = 100;

export const largeResult: Probe = {
  name: 'large-result',
  summary: `a result of ${ROWS} rows, about ${Math.round((ROWS * WIDTH) / 1e6)} MB, every row checked`,
  open: async ({ client, context: { random, clientId } }) => {
    return async () => {
      const mark = `${clientId}-${Math.floor(random() * 1e6)}-`;
      const { rows } = await client.query<[number, string]>({
        text: `SELECT n, rpad('${mark}' || n, ${WIDTH}, '.') FROM generate_series(1, ${ROWS}) AS n`,
        rowMode: 'array',
      });
      expectSame('rows of the result', rows.length, ROWS);
      const wrong = rows.findIndex(
        ([n, text], i) => n !== i + 1 || text !== `${mark}${n}`.padEnd(WIDTH, '.'),
      );
      expectSame('first row that is not what was asked for', wrong, -1);
    };
  },
};
