/** A cursor WITH HOLD that is read on, some rows a transaction: its rows and its position must stay. */
import { expectSame, lostWhen, type Probe } from './probe.js';

const ROWS = 1_000;
const FETCH = 10;
const INVALID_CURSOR_NAME = '34000';

export const heldCursor: Probe = {
  name: 'held-cursor',
  summary: `a cursor WITH HOLD over ${ROWS} rows, read on by ${FETCH} in each transaction`,
  open: async ({ client, context: { random } }) => {
    let cursor = '';
    let next = 1;
    const declare = async (): Promise<void> => {
      // eslint-disable-next-line dbproxy/sql-quoting -- letters and digits
      if (cursor !== '') await client.query(`CLOSE ${cursor}`);
      cursor = `probe_cursor_${Math.floor(random() * 2 ** 31)}`;
      await client.query(
        // eslint-disable-next-line dbproxy/sql-quoting -- letters and digits
        `DECLARE ${cursor} CURSOR WITH HOLD FOR SELECT n FROM generate_series(1, ${ROWS}) AS n`,
      );
      next = 1;
    };
    await declare();
    return async () => {
      const reading = next > ROWS ? declare() : Promise.resolve();
      await lostWhen([INVALID_CURSOR_NAME], 'the cursor', reading);
      const { rows } = await lostWhen(
        [INVALID_CURSOR_NAME],
        'the cursor',
        // eslint-disable-next-line dbproxy/sql-quoting -- letters and digits
        client.query<{ n: number }>(`FETCH ${FETCH} FROM ${cursor}`),
      );
      const expected = Array.from({ length: FETCH }, (_, i) => next + i);
      expectSame('rows of the cursor', rows.map(({ n }) => n).join(), expected.join());
      next += FETCH;
    };
  },
};
