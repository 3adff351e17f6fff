/**
 * Messages of an engine as text to be compared: all of it, byte by byte, but for what may differ by right, all of which is
 * named here.
 */
import { Backend, dataRow, errorFields, type Message } from '../../src/protocol/index.js';
import type { ErrorRewrite } from '../../src/proxy/rewrite-errors.js';

/** Severity, SQLSTATE, message, detail, hint. Positions count from the start of a text that has less around it after a move. */
const FIELDS = ['S', 'C', 'M', 'D', 'H'] as const;

/** FirstNormalObjectId (transam.h): types from here on are made by users, temporary ones anew by a move. */
const FIRST_OF_USERS = 16384;
/** The schema of a session is numbered by its backend. */
const withoutNumber = (text: string): string => text.replace(/pg_(toast_)?temp_\d+/g, 'pg_$1temp');

/** Of a RowDescription: a cursor that was re-created reads no table, so it names none (held-cursors.ts). */
const withoutTables = (body: Buffer): Buffer => {
  const copy = Buffer.from(body);
  for (let at = 2, left = copy.readInt16BE(0); left > 0; left--) {
    const end = copy.indexOf(0, at) + 1;
    copy.fill(0, end, end + 6);
    if (copy.readUInt32BE(end + 6) >= FIRST_OF_USERS) copy.fill(0, end + 6, end + 10);
    at = end + 18;
  }
  return copy;
};

export const messageText = ({ type, body }: Message, rewrite: ErrorRewrite | null): string => {
  const letter = String.fromCharCode(type);
  switch (type) {
    case Backend.ErrorResponse:
    case Backend.NoticeResponse: {
      const fields = errorFields(body);
      // A statement that no longer parses fails with the words of its Parse, as behind the proxy.
      const instead = type === Backend.ErrorResponse ? rewrite?.(fields) : null;
      if (instead) return `${letter} ERROR ${instead.sqlstate} ${instead.message}`;
      return withoutNumber(`${letter} ${FIELDS.flatMap((field) => fields.get(field) ?? []).join(' ')}`);
    }
    case Backend.DataRow:
      return body.includes('pg_temp_')
        ? `${letter} ${dataRow(body)
            .map((value) => withoutNumber(value ?? 'NULL'))
            .join(' | ')}`
        : `${letter} ${body.toString('latin1')}`;
    case Backend.RowDescription:
      return `${letter} ${withoutTables(body).toString('latin1')}`;
    case Backend.NotificationResponse:
      // Of its own, always: who it was is the number of a process.
      return `${letter} ${body.toString('latin1', 4)}`;
    default:
      return `${letter} ${body.toString('latin1')}`;
  }
};
