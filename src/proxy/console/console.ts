/**
 * A client of the virtual database `dbproxy`: no engine, no session; this process answers. The simple protocol, and the
 * extended one as far as drivers need it for statements without parameters (manual, 54.2.2 and 54.2.3).
 */
import {
  Backend,
  Frontend,
  MAX_SMALL_MESSAGE_BYTES,
  MessageReader,
  ProtocolViolation,
  cstrings,
  encode,
  type Message,
} from '../../protocol/index.js';
import type { ProxyView } from '../control-api.js';
import type { Link, LinkOwner } from '../link.js';
import { answer, type Answer, type Table } from './answers.js';

export const CONSOLE_DATABASE = 'dbproxy';

const message = (type: string, ...parts: Buffer[]): Buffer => encode.message(type.charCodeAt(0), ...parts);
const PARSE_COMPLETE = message('1');
const BIND_COMPLETE = message('2');
const CLOSE_COMPLETE = message('3');
const EMPTY_QUERY = message('I');
const NO_DATA = message('n');
const READY = encode.readyForQuery('I');

/** What a server says of itself to a new client (manual, 54.2.7). */
export const parametersOf = (version: string): ReadonlyMap<string, string> =>
  new Map([
    ['server_version', `${version}/dbproxy`],
    ['server_encoding', 'UTF8'],
    ['client_encoding', 'UTF8'],
    ['DateStyle', 'ISO, MDY'],
    ['TimeZone', 'UTC'],
    ['integer_datetimes', 'on'],
    ['standard_conforming_strings', 'on'],
  ]);

export interface ConsoleSource {
  own(): ProxyView;
  /** Of the other processes that serve this port; null: there are none. */
  readonly others: (() => Promise<readonly ProxyView[]> | readonly ProxyView[]) | null;
}

export class Console implements LinkOwner {
  readonly #link: Link;
  readonly #source: ConsoleSource;
  readonly #onClosed: () => void;
  readonly #reader = new MessageReader(MAX_SMALL_MESSAGE_BYTES);
  readonly #statements = new Map<string, string>();
  readonly #portals = new Map<string, string>();
  /** After an error in the extended protocol everything up to Sync is passed over. */
  #skipping = false;
  /** What the other processes said, for what is asked now. */
  #others: readonly ProxyView[] = [];

  constructor(link: Link, source: ConsoleSource, onClosed: () => void) {
    this.#link = link;
    this.#source = source;
    this.#onClosed = onClosed;
  }

  /** `early`: bytes that came with the login. */
  start(early: Buffer): void {
    this.#link.owner = this;
    if (early.length > 0) this.received(this.#link, early, early.length);
    this.#link.resume();
  }

  /** Ends it with FATAL 57P01. */
  end(reason: string): void {
    this.#link.send(encode.errorResponse({ severity: 'FATAL', sqlstate: '57P01', message: reason }));
    this.#link.finish();
  }

  received(link: Link, buffer: Buffer, bytes: number): void {
    this.#reader.push(buffer.subarray(0, bytes));
    if (!this.#source.others) {
      this.#takeAll(link);
      return;
    }
    link.pause();
    void Promise.resolve(this.#source.others()).then((others) => {
      this.#others = others;
      link.resume();
      this.#takeAll(link);
    });
  }

  #takeAll(link: Link): void {
    try {
      for (let next = this.#reader.next(); next; next = this.#reader.next()) this.#take(next);
    } catch (error) {
      // Whatever a field that is cut short makes of the reading, it is the message's fault.
      const violation =
        error instanceof ProtocolViolation ? error : new ProtocolViolation('malformed message');
      const { sqlstate, message: text } = violation;
      link.send(encode.errorResponse({ severity: 'FATAL', sqlstate, message: text }));
      link.finish();
    }
    // Whoever does not read is not read.
    if (link.blocked) link.pause();
  }

  drained(link: Link): void {
    link.resume();
  }

  ended(link: Link): void {
    link.finish();
  }

  closed(): void {
    this.#onClosed();
  }

  #take({ type, body }: Message): void {
    if (type === Frontend.Terminate) this.#link.finish();
    else if (type === Frontend.Sync) {
      this.#skipping = false;
      this.#link.send(READY);
    } else if (this.#skipping || type === Frontend.Flush) return;
    else if (type === Frontend.Query) {
      this.#send([...rowsOf(this.#ask(cstrings(body)[0] ?? ''), true), READY]);
    } else this.#extended(type, body);
  }

  #extended(type: number, body: Buffer): void {
    const [first = '', second = ''] = cstrings(body);
    const kind = String.fromCharCode(body[0] ?? 0);
    const named = first.slice(1);
    switch (type) {
      case Frontend.Parse:
        this.#statements.set(first, second);
        this.#send([PARSE_COMPLETE]);
        break;
      case Frontend.Bind:
        this.#bind(first, second, body);
        break;
      case Frontend.Describe:
        this.#describe(kind === 'S', named);
        break;
      case Frontend.Execute:
        this.#execute(first);
        break;
      case Frontend.Close:
        (kind === 'S' ? this.#statements : this.#portals).delete(named);
        this.#send([CLOSE_COMPLETE]);
        break;
      default:
        throw new ProtocolViolation(`invalid frontend message type ${type}`);
    }
  }

  #bind(portal: string, statement: string, body: Buffer): void {
    const sql = this.#statements.get(statement);
    const at = portal.length + statement.length + 2;
    const formats = body.readInt16BE(at);
    const values = body.readInt16BE(at + 2 + 2 * formats);
    const results = at + 4 + 2 * formats;
    if (sql === undefined) this.#fail('26000', `prepared statement "${statement}" does not exist`);
    else if (values !== 0) this.#fail('0A000', 'statements of database "dbproxy" take no parameters');
    else if (asksForBinary(body, results)) this.#fail('0A000', 'database "dbproxy" answers in text alone');
    else {
      this.#portals.set(portal, sql);
      this.#send([BIND_COMPLETE]);
    }
  }

  #describe(isStatement: boolean, name: string): void {
    const sql = (isStatement ? this.#statements : this.#portals).get(name);
    if (sql === undefined) {
      this.#fail(isStatement ? '26000' : '34000', `"${name}" does not exist`);
      return;
    }
    const found = this.#ask(sql);
    const noParameters = isStatement ? [message('t', Buffer.alloc(2))] : [];
    this.#send([...noParameters, found.kind === 'table' ? rowDescription(found.table) : NO_DATA]);
  }

  #execute(portal: string): void {
    const sql = this.#portals.get(portal);
    if (sql === undefined) {
      this.#fail('34000', `portal "${portal}" does not exist`);
      return;
    }
    const found = this.#ask(sql);
    this.#skipping = found.kind === 'error';
    this.#send(rowsOf(found, false));
  }

  #ask(sql: string): Answer {
    return answer(Buffer.from(sql, 'latin1').toString(), [this.#source.own(), ...this.#others]);
  }

  #fail(sqlstate: string, text: string): void {
    this.#skipping = true;
    this.#send([encode.errorResponse({ severity: 'ERROR', sqlstate, message: text })]);
  }

  #send(messages: readonly Buffer[]): void {
    this.#link.send(Buffer.concat(messages));
  }
}

/** Result formats at the end of a Bind: any 1 asks for binary. */
const asksForBinary = (body: Buffer, at: number): boolean => {
  const count = body.readInt16BE(at);
  return Array.from({ length: count }, (_, i) => body.readInt16BE(at + 2 + 2 * i)).includes(1);
};

const rowsOf = (found: Answer, described: boolean): Buffer[] => {
  switch (found.kind) {
    case 'empty':
      return [EMPTY_QUERY];
    case 'tag':
      return [complete(found.tag)];
    case 'error': {
      const { sqlstate, message: text, hint } = found;
      return [encode.errorResponse({ severity: 'ERROR', sqlstate, message: text, hint })];
    }
    case 'table': {
      const head = described ? [rowDescription(found.table)] : [];
      return [...head, ...found.table.rows.map(dataRow), complete('SHOW')];
    }
  }
};

const complete = (tag: string): Buffer => encode.message(Backend.CommandComplete, Buffer.from(`${tag}\0`));

/** No table, no column of one; of any length; as text. */
const rowDescription = ({ columns }: Table): Buffer =>
  encode.message(
    Backend.RowDescription,
    encode.int16(columns.length),
    ...columns.flatMap(({ name, type }) => [
      Buffer.from(`${name}\0`),
      ...[
        encode.int32(0),
        encode.int16(0),
        encode.int32(type),
        encode.int16(-1),
        encode.int32(-1),
        encode.int16(0),
      ],
    ]),
  );

const dataRow = (values: Table['rows'][number]): Buffer =>
  encode.message(
    Backend.DataRow,
    encode.int16(values.length),
    ...values.flatMap((value) => {
      if (value === null) return [encode.int32(-1)];
      const text = Buffer.from(String(value));
      return [encode.int32(text.length), text];
    }),
  );
