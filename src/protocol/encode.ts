/**
 * Encoders of the messages we make ourselves, both directions (PostgreSQL manual, 54.7 Message Formats).
 * Strings that belong to a session are byte strings in the client's encoding and travel as latin1, byte for byte.
 */
import { AuthCode, Backend, Frontend, type TxStatus } from './codes.js';

/** Text as it stands on the wire: a JS string of bytes (latin1), or bytes. */
export type WireText = string | Buffer;

const bytes = (text: WireText): Buffer => (typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
const ZERO = Buffer.of(0);
const cstring = (text: WireText): Buffer => Buffer.concat([bytes(text), ZERO]);

/** Big-endian, as all numbers of the protocol are. */
export const int32 = (value: number): Buffer => {
  const buffer = Buffer.allocUnsafe(4);
  buffer.writeInt32BE(value | 0);
  return buffer;
};

export const int16 = (value: number): Buffer => {
  const buffer = Buffer.allocUnsafe(2);
  buffer.writeInt16BE(value);
  return buffer;
};

/** One message: type, length, body. */
export const message = (type: number, ...parts: readonly Buffer[]): Buffer => {
  const length = parts.reduce((sum, part) => sum + part.length, 4);
  return Buffer.concat([Buffer.of(type), int32(length), ...parts], length + 1);
};

// --- as a client of an engine ---------------------------------------------------------------------------------------

/** StartupMessage; parameters in the client's order. */
export const startupMessage = (version: number, parameters: ReadonlyMap<string, string>): Buffer => {
  const body = Buffer.concat([
    int32(version),
    ...[...parameters].flatMap(([name, value]) => [cstring(name), cstring(value)]),
    ZERO,
  ]);
  return Buffer.concat([int32(body.length + 4), body]);
};

export const cancelRequest = (code: number, processId: number, secret: Buffer): Buffer =>
  Buffer.concat([int32(12 + secret.length), int32(code), int32(processId), secret]);

export const query = (sql: WireText): Buffer => message(Frontend.Query, cstring(sql));

export const parse = (name: WireText, sql: WireText, parameterTypes: readonly number[] = []): Buffer =>
  message(
    Frontend.Parse,
    cstring(name),
    cstring(sql),
    int16(parameterTypes.length),
    ...parameterTypes.map((oid) => int32(oid)),
  );

/** Bind of text parameters (null: SQL NULL); results as text. */
export const bind = (portal: string, statement: string, values: readonly (WireText | null)[]): Buffer =>
  message(
    Frontend.Bind,
    cstring(portal),
    cstring(statement),
    int16(0),
    int16(values.length),
    ...values.flatMap(valueOf),
    int16(0),
  );

const valueOf = (value: WireText | null): Buffer[] => {
  if (value === null) return [int32(-1)];
  const text = bytes(value);
  return [int32(text.length), text];
};

export const execute = (portal = ''): Buffer => message(Frontend.Execute, cstring(portal), int32(0));
/** Of a function by its OID: the arguments as text (null: SQL NULL), and the result, too. */
export const functionCall = (oid: number, values: readonly (WireText | null)[] = []): Buffer =>
  message(
    Frontend.FunctionCall,
    int32(oid),
    int16(0),
    int16(values.length),
    ...values.flatMap(valueOf),
    int16(0),
  );
export const closeStatement = (name: WireText): Buffer =>
  message(Frontend.Close, Buffer.from('S'), cstring(name));
export const describePortal = (name: WireText): Buffer =>
  message(Frontend.Describe, Buffer.from('P'), cstring(name));
export const sync = (): Buffer => message(Frontend.Sync);
export const flush = (): Buffer => message(Frontend.Flush);
/** Fails with 57014. */
export const copyFail = (reason: string): Buffer => message(Frontend.CopyFail, cstring(reason));
export const terminate = (): Buffer => message(Frontend.Terminate);

export const saslInitialResponse = (mechanism: string, response: string): Buffer => {
  const data = Buffer.from(response);
  return message(Frontend.Password, cstring(mechanism), int32(data.length), data);
};
export const saslResponse = (response: string): Buffer => message(Frontend.Password, Buffer.from(response));

// --- as an engine, towards a client ---------------------------------------------------------------------------------

export interface ErrorFields {
  readonly severity: 'ERROR' | 'FATAL' | 'NOTICE' | 'WARNING';
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
}

const fields = ({ severity, sqlstate, message: text, detail, hint }: ErrorFields): Buffer => {
  const field = (code: string, value: string): Buffer => Buffer.from(`${code}${value}\0`);
  return Buffer.concat([
    field('S', severity),
    field('V', severity),
    field('C', sqlstate),
    field('M', text),
    ...(detail === undefined ? [] : [field('D', detail)]),
    ...(hint === undefined ? [] : [field('H', hint)]),
    ZERO,
  ]);
};

export const errorResponse = (error: ErrorFields): Buffer => message(Backend.ErrorResponse, fields(error));
export const noticeResponse = (notice: ErrorFields): Buffer =>
  message(Backend.NoticeResponse, fields(notice));

export const authentication = (code: (typeof AuthCode)[keyof typeof AuthCode], data: WireText = ''): Buffer =>
  message(Backend.Authentication, int32(code), bytes(data));
export const authenticationSasl = (mechanisms: readonly string[]): Buffer =>
  authentication(AuthCode.sasl, Buffer.concat([...mechanisms.map(cstring), ZERO]));

export const parameterStatus = (name: WireText, value: WireText): Buffer =>
  message(Backend.ParameterStatus, cstring(name), cstring(value));
export const backendKeyData = (processId: number, secret: Buffer): Buffer =>
  message(Backend.BackendKeyData, int32(processId), secret);
export const commandComplete = (tag: WireText): Buffer => message(Backend.CommandComplete, cstring(tag));
export const readyForQuery = (status: TxStatus): Buffer => message(Backend.ReadyForQuery, bytes(status));

/** `newestMinor` as the whole version code, as PostgreSQL sends it (tcop/backend_startup.c). */
export const negotiateProtocolVersion = (newest: number, unknownOptions: readonly string[]): Buffer =>
  message(
    Backend.NegotiateProtocolVersion,
    int32(newest),
    int32(unknownOptions.length),
    ...unknownOptions.map(cstring),
  );
