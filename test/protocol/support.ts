/** Message sequences for the stream trackers' tests: arbitrary ones, and a record of what a tracker shows of them. */
import fc from 'fast-check';
import {
  ClientStream,
  EngineStream,
  Exchange,
  Frontend,
  encode,
  type ClientObserver,
  type EngineObserver,
} from '../../src/protocol/index.js';

export class RecordingClientObserver implements ClientObserver {
  readonly calls: string[] = [];
  bindWanted = true;

  parse(buffer: Buffer, start: number, end: number): void {
    this.#add('parse', buffer, start, end);
  }
  query(buffer: Buffer, start: number, end: number, request: number): void {
    this.#add(`query ${request}`, buffer, start, end);
  }
  close(buffer: Buffer, start: number, end: number): void {
    this.#add('close', buffer, start, end);
  }
  bind(buffer: Buffer, start: number, end: number): void {
    this.#add('bind', buffer, start, end);
  }
  tooLong(type: number): void {
    this.calls.push(`tooLong ${String.fromCharCode(type)}`);
  }

  #add(what: string, buffer: Buffer, start: number, end: number): void {
    this.calls.push(`${what} ${buffer.toString('hex', start, end)}`);
  }
}

export class RecordingEngineObserver implements EngineObserver {
  readonly calls: string[] = [];

  parameterStatus(buffer: Buffer, start: number, end: number): void {
    this.calls.push(`parameter ${buffer.toString('hex', start, end)}`);
  }
  commandComplete(buffer: Buffer, start: number, end: number, request: number): void {
    this.calls.push(`complete ${request} ${buffer.toString('hex', start, end)}`);
  }
}

/** Everything there is to see of an Exchange. */
export const stateOf = ({ pending, batchOpen, copyIn, status, settled }: Exchange): object => ({
  pending,
  batchOpen,
  copyIn,
  status,
  settled,
});

/** `bytes` in the pieces that end at `cuts` (offsets, in any order). */
export const pieces = (bytes: Buffer, cuts: readonly number[]): Buffer[] => {
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...ends].map((start, i) => bytes.subarray(start, ends[i] ?? bytes.length));
};

/** What a client stream does with `bytes` in pieces. With `oneRequest`: also where it stops, as absolute offsets. */
export const followClient = (
  chunks: readonly Buffer[],
  oneRequest: boolean,
  exchange = new Exchange(),
): object => {
  const observer = new RecordingClientObserver();
  const stream = new ClientStream(exchange, observer);
  const stops: number[] = [];
  let offset = 0;
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      const pendingBefore = exchange.pending;
      const next = stream.scan(chunk, at, chunk.length, oneRequest);
      at = next;
      if (oneRequest && exchange.pending !== pendingBefore) stops.push(offset + at);
    }
    offset += chunk.length;
  }
  const { calls } = observer;
  return { calls, stops, ...stateOf(exchange), atBoundary: stream.atBoundary, ended: stream.terminated };
};

/** What an engine stream does with `bytes` in pieces. */
export const followEngine = (chunks: readonly Buffer[], exchange = new Exchange()): object => {
  const observer = new RecordingEngineObserver();
  const stream = new EngineStream(exchange, observer);
  const answered = chunks.map((chunk) => stream.scan(chunk, 0, chunk.length)).includes(true);
  const { calls } = observer;
  return { calls, answered, ...stateOf(exchange), atBoundary: stream.atBoundary, error: stream.lastWasError };
};

const text = fc.string({ unit: 'binary-ascii', maxLength: 40 }).map((value) => value.replaceAll('\0', ''));
const body = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));

/** One message of a client, of any type; bodies are what they should be, or arbitrary bytes. */
export const clientMessage: fc.Arbitrary<Buffer> = fc.oneof(
  text.map((sql) => encode.query(sql)),
  fc.tuple(text, text).map(([name, sql]) => encode.parse(name, sql, [23])),
  fc.tuple(text, text).map(([name, value]) => encode.bind('', name, [value, null])),
  fc.constant(encode.execute()),
  text.map((name) => encode.closeStatement(name)),
  fc.constant(encode.sync()),
  fc.constant(encode.terminate()),
  fc
    .tuple(fc.constantFrom(...Object.values(Frontend).filter((type) => type !== Frontend.Password)), body)
    .map(([type, bytes]) => encode.message(type, bytes)),
);

const backendTypes = [
  'R',
  'K',
  'C',
  'G',
  'D',
  'E',
  'N',
  'A',
  'S',
  '1',
  '2',
  'n',
  's',
  'T',
  't',
  'H',
  'd',
  'c',
];

/** One message of an engine, of any type. */
export const engineMessage: fc.Arbitrary<Buffer> = fc.oneof(
  fc.constantFrom('I', 'T', 'E').map((status) => encode.readyForQuery(status as 'I')),
  fc.tuple(text, text).map(([name, value]) => encode.parameterStatus(name, value)),
  fc
    .tuple(fc.constantFrom(...backendTypes), body)
    .map(([type, bytes]) => encode.message(type.charCodeAt(0), bytes)),
);
