/** Questions that come while another one is answered: a connection takes one at a time. */
import type { ClientBase, QueryConfig, QueryResult, QueryResultRow } from 'pg';

export type Ask = <Row extends QueryResultRow>(
  query: string | QueryConfig,
  values?: unknown[],
) => Promise<QueryResult<Row>>;

/** Whoever asks waits for those before. */
export function inTurn(connection: ClientBase): Ask {
  let last: Promise<unknown> = Promise.resolve();
  return <Row extends QueryResultRow>(query: string | QueryConfig, values?: unknown[]) => {
    const answer = last.then(() => connection.query<Row>(query, values));
    last = answer.catch(() => undefined);
    return answer;
  };
}
