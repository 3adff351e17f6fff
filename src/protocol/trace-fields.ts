/** The fields of every message of protocol 3, as text in the form of libpq's trace (manual 54.7; libpq/fe-trace.c). */
import { Backend, Frontend } from './codes.js';

/** Reads a body of which the end may not have been kept. */
class Fields {
  readonly #body: Buffer;
  readonly #values: boolean;
  #at = 0;
  text = '';

  constructor(body: Buffer, values: boolean) {
    this.#body = body;
    this.#values = values;
  }

  get rest(): number {
    return this.#body.length - this.#at;
  }

  char(): string {
    const byte = this.#take(1)[0] ?? 0;
    const text = escaped(Buffer.of(byte));
    this.text += ` ${text}`;
    return byte === 0 ? '' : text;
  }

  int16(): number {
    return this.#said(this.#take(2).readInt16BE(0));
  }

  int32(): number {
    return this.#said(this.#take(4).readInt32BE(0));
  }

  string(): void {
    const end = this.#body.indexOf(0, this.#at);
    if (end < 0) throw new CutOff();
    this.text += ` "${this.#take(end - this.#at).toString('utf8')}"`;
    this.#at++;
  }

  /** What a user has bound, copied or read. */
  value(bytes: number): void {
    const value = this.#take(bytes);
    this.text += this.#values ? ` '${escaped(value)}'` : ` '…'`;
  }

  secret(): void {
    this.#at = this.#body.length;
    this.text += ' …';
  }

  #said(value: number): number {
    this.text += ` ${value}`;
    return value;
  }

  #take(bytes: number): Buffer {
    if (bytes > this.rest) throw new CutOff();
    this.#at += bytes;
    return this.#body.subarray(this.#at - bytes, this.#at);
  }
}

class CutOff extends Error {}

const escaped = (bytes: Buffer): string =>
  bytes
    .toString('latin1')
    .replace(/[^ -~]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);

const times = (count: number, work: () => void): void => {
  for (let i = 0; i < count; i++) work();
};
const formats = (fields: Fields): void => times(fields.int16(), () => fields.int16());
/** Its length first; -1: it is null. */
const value = (fields: Fields): void => {
  const bytes = fields.int32();
  if (bytes >= 0) fields.value(bytes);
};
const values = (fields: Fields): void => times(fields.int16(), () => value(fields));
const types = (fields: Fields): void => times(fields.int16(), () => fields.int32());
const two = (fields: Fields): void => {
  fields.string();
  fields.string();
};
const copy = (fields: Fields): void => {
  fields.char();
  formats(fields);
};
const copied = (fields: Fields): void => fields.value(fields.rest);
const response = (fields: Fields): void => {
  while (fields.char() !== '') fields.string();
};
const nothing = (): void => undefined;
const one = (fields: Fields): void => fields.string();
const target = (fields: Fields): void => {
  fields.char();
  fields.string();
};

/** F: of the frontend, the client; B: of the backend. */
export type Direction = 'F' | 'B';

type Shape = readonly [name: string, fields: (fields: Fields) => void];

const FRONTEND: Readonly<Record<number, Shape>> = {
  [Frontend.Bind]: [
    'Bind',
    (fields) => {
      two(fields);
      formats(fields);
      values(fields);
      formats(fields);
    },
  ],
  [Frontend.Close]: ['Close', target],
  [Frontend.CopyData]: ['CopyData', copied],
  [Frontend.CopyDone]: ['CopyDone', nothing],
  [Frontend.CopyFail]: ['CopyFail', one],
  [Frontend.Describe]: ['Describe', target],
  [Frontend.Execute]: [
    'Execute',
    (fields) => {
      fields.string();
      fields.int32();
    },
  ],
  [Frontend.Flush]: ['Flush', nothing],
  [Frontend.FunctionCall]: [
    'FunctionCall',
    (fields) => {
      fields.int32();
      formats(fields);
      values(fields);
      fields.int16();
    },
  ],
  [Frontend.Parse]: [
    'Parse',
    (fields) => {
      two(fields);
      types(fields);
    },
  ],
  [Frontend.Password]: ['PasswordMessage', (fields) => fields.secret()],
  [Frontend.Query]: ['Query', one],
  [Frontend.Sync]: ['Sync', nothing],
  [Frontend.Terminate]: ['Terminate', nothing],
};

const BACKEND: Readonly<Record<number, Shape>> = {
  [Backend.Authentication]: ['Authentication', (fields) => fields.secret()],
  [Backend.BackendKeyData]: [
    'BackendKeyData',
    (fields) => {
      fields.int32();
      fields.secret();
    },
  ],
  [Backend.BindComplete]: ['BindComplete', nothing],
  [Backend.CloseComplete]: ['CloseComplete', nothing],
  [Backend.CommandComplete]: ['CommandComplete', one],
  [Backend.CopyData]: ['CopyData', copied],
  [Backend.CopyDone]: ['CopyDone', nothing],
  [Backend.CopyInResponse]: ['CopyInResponse', copy],
  [Backend.CopyOutResponse]: ['CopyOutResponse', copy],
  [Backend.CopyBothResponse]: ['CopyBothResponse', copy],
  [Backend.DataRow]: ['DataRow', values],
  [Backend.EmptyQueryResponse]: ['EmptyQueryResponse', nothing],
  [Backend.ErrorResponse]: ['ErrorResponse', response],
  [Backend.FunctionCallResponse]: ['FunctionCallResponse', value],
  [Backend.NegotiateProtocolVersion]: [
    'NegotiateProtocolVersion',
    (fields) => {
      fields.int32();
      times(fields.int32(), () => fields.string());
    },
  ],
  [Backend.NoData]: ['NoData', nothing],
  [Backend.NoticeResponse]: ['NoticeResponse', response],
  [Backend.NotificationResponse]: [
    'NotificationResponse',
    (fields) => {
      fields.int32();
      two(fields);
    },
  ],
  [Backend.ParameterDescription]: ['ParameterDescription', types],
  [Backend.ParameterStatus]: ['ParameterStatus', two],
  [Backend.ParseComplete]: ['ParseComplete', nothing],
  [Backend.PortalSuspended]: ['PortalSuspended', nothing],
  [Backend.ReadyForQuery]: ['ReadyForQuery', (fields) => void fields.char()],
  [Backend.RowDescription]: [
    'RowDescription',
    (fields) =>
      times(fields.int16(), () => {
        fields.string();
        fields.int32();
        fields.int16();
        fields.int32();
        fields.int16();
        fields.int32();
        fields.int16();
      }),
  ],
};

const shapeOf = (direction: Direction, type: number): Shape =>
  (direction === 'F' ? FRONTEND : BACKEND)[type] ?? [
    `Unknown message: ${type.toString(16).padStart(2, '0')}`,
    (fields) => fields.secret(),
  ];

export const nameOf = (direction: Direction, type: number): string => shapeOf(direction, type)[0];

/** `body`: of `bytes`, those that were kept. `values`: also what users bind, copy and read. */
export const fieldsOf = (
  direction: Direction,
  type: number,
  body: Buffer,
  bytes: number,
  values: boolean,
): string => {
  const fields = new Fields(body, values);
  try {
    shapeOf(direction, type)[1](fields);
  } catch (error) {
    if (!(error instanceof CutOff)) throw error;
    const isWhole = body.length === bytes;
    return `${fields.text} ${isWhole ? '(malformed)' : `… (${bytes} bytes)`}`;
  }
  return fields.text;
};
