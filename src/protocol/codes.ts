/** Message types and request codes of protocol 3 (PostgreSQL manual, chapter 54; libpq/protocol.h, libpq/pqcomm.h). */

const byte = (char: string): number => char.charCodeAt(0);

/** Messages of a client. */
export const Frontend = {
  Bind: byte('B'),
  Close: byte('C'),
  CopyData: byte('d'),
  CopyDone: byte('c'),
  CopyFail: byte('f'),
  Describe: byte('D'),
  Execute: byte('E'),
  Flush: byte('H'),
  FunctionCall: byte('F'),
  Parse: byte('P'),
  /** PasswordMessage, SASLInitialResponse, SASLResponse. */
  Password: byte('p'),
  Query: byte('Q'),
  Sync: byte('S'),
  Terminate: byte('X'),
} as const;

/** Messages of an engine. */
export const Backend = {
  Authentication: byte('R'),
  BackendKeyData: byte('K'),
  BindComplete: byte('2'),
  CloseComplete: byte('3'),
  CommandComplete: byte('C'),
  CopyData: byte('d'),
  CopyBothResponse: byte('W'),
  CopyDone: byte('c'),
  CopyInResponse: byte('G'),
  CopyOutResponse: byte('H'),
  DataRow: byte('D'),
  EmptyQueryResponse: byte('I'),
  ErrorResponse: byte('E'),
  FunctionCallResponse: byte('V'),
  NegotiateProtocolVersion: byte('v'),
  NoData: byte('n'),
  NoticeResponse: byte('N'),
  NotificationResponse: byte('A'),
  ParameterDescription: byte('t'),
  ParameterStatus: byte('S'),
  ParseComplete: byte('1'),
  PortalSuspended: byte('s'),
  ReadyForQuery: byte('Z'),
  RowDescription: byte('T'),
} as const;

/** Codes in the place of a protocol version in a start-up packet. */
export const StartupCode = {
  cancel: (1234 << 16) | 5678,
  ssl: (1234 << 16) | 5679,
  gssenc: (1234 << 16) | 5680,
} as const;

/** Protocol version `major.minor` as it stands in a start-up packet. */
export const protocolVersion = (major: number, minor: number): number => (major << 16) | minor;
export const PROTOCOL_3_0 = protocolVersion(3, 0);
export const PROTOCOL_3_2 = protocolVersion(3, 2);

/** Authentication requests, by the code in an Authentication message. */
export const AuthCode = { ok: 0, cleartext: 3, md5: 5, sasl: 10, saslContinue: 11, saslFinal: 12 } as const;

/** Status of ReadyForQuery. */
export type TxStatus = 'I' | 'T' | 'E';
