/**
 * A transaction that `--on-timeout cancel` aborted between two requests of its client. The engine is in an aborted
 * transaction (`enterFailedTransaction`), but the client does not know yet: its next request is answered here with 40001,
 * unless it is the ROLLBACK that any client sends after an error.
 *
 * COMMIT must fail aloud: in an aborted transaction an engine answers it with the tag ROLLBACK and no error, and many
 * clients would take that for success.
 */
import { DbproxyError } from '../errors/index.js';
import {
  Frontend,
  MAX_LARGE_MESSAGE_BYTES,
  MessageReader,
  encode,
  type ErrorFields,
  type Message,
} from '../protocol/index.js';
import type { ErrorRewrite } from './rewrite-errors.js';
import type { SessionState, StateChannel } from '../session-state/index.js';

export type Verdict =
  /** More bytes are needed. */
  | { readonly kind: 'wait' }
  /** Goes to the engine as it is. */
  | { readonly kind: 'forward' }
  /** `response` goes to the client, `rest` of its bytes stay; with `ends` the engine's transaction is rolled back. */
  | { readonly kind: 'refuse'; readonly response: Buffer; readonly rest: Buffer; readonly ends: boolean };

/** query_canceled (manual, appendix A). */
const QUERY_CANCELED = '57014';
const ROLLBACK = /^\s*(rollback|abort)\b(?!\s+(work\s+|transaction\s+)?to\b)/i;
const COMMIT = /^\s*(commit|end)\b/i;

export class CanceledTransaction {
  readonly #error: ErrorFields;

  constructor(error: ErrorFields) {
    this.#error = error;
  }

  /** What to do with the bytes that the client sent next. Throws ProtocolViolation. */
  judge(bytes: Buffer, statements: SessionState['preparedStatements'] | null): Verdict {
    const request = firstRequest(bytes);
    if (!request) return { kind: 'wait' };
    const sql = sqlOf(request.messages, statements);
    const terminates = request.messages.at(-1)?.type === Frontend.Terminate;
    if (terminates || ROLLBACK.test(sql)) return { kind: 'forward' };
    const ends = COMMIT.test(sql);
    const response = Buffer.concat([
      encode.errorResponse(this.#error),
      encode.readyForQuery(ends ? 'I' : 'E'),
    ]);
    return { kind: 'refuse', response, rest: request.rest, ends };
  }
}

export const canceledError = (operation: string): ErrorFields => {
  const { sqlstate = '40001', message } = new DbproxyError('DBP_WIRE_TRANSACTION_CANCELED', { operation });
  return { severity: 'ERROR', sqlstate, message };
};

/** The engine's "canceling statement due to user request" becomes our 40001, which drivers know to retry. */
export const renameCancellation =
  (operation: string): ErrorRewrite =>
  (fields) =>
    fields.get('C') === QUERY_CANCELED ? canceledError(operation) : null;

/** Brings an engine into an aborted transaction, as the client believes it to be in one. */
export const enterFailedTransaction = async (channel: StateChannel): Promise<void> => {
  const begin = encode.query('begin');
  // Any statement that fails would do; the engine's log shows this name.
  const fail = encode.query('rollback to savepoint dbproxy_canceled_this_transaction');
  await channel.exchange(Buffer.concat([begin, fail]), 2);
};

/** The messages up to the first that asks for ReadyForQuery, or null if it has not come yet. */
const firstRequest = (bytes: Buffer): { messages: Message[]; rest: Buffer } | null => {
  const reader = new MessageReader(MAX_LARGE_MESSAGE_BYTES);
  reader.push(bytes);
  const messages: Message[] = [];
  for (let message = reader.next(); message; message = reader.next()) {
    messages.push(message);
    const { type } = message;
    if (
      type === Frontend.Query ||
      type === Frontend.Sync ||
      type === Frontend.FunctionCall ||
      type === Frontend.Terminate
    ) {
      return { messages, rest: reader.takeRest() };
    }
  }
  return null;
};

/** The text of the request's first statement; '' if it cannot be told. */
const sqlOf = (
  messages: readonly Message[],
  statements: SessionState['preparedStatements'] | null,
): string => {
  for (const { type, body } of messages) {
    const [first = '', second = ''] = body.toString('latin1').split('\0', 2);
    if (type === Frontend.Query) return first;
    if (type === Frontend.Parse) return second;
    if (type === Frontend.Bind) return statements?.byName.get(second)?.sql ?? '';
  }
  return '';
};
