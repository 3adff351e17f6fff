/** A certifier between nothing: what it writes to either side is kept, write by write, and the engine says what the test lets it say. */
import { Certifier } from '../../../src/proxy/certify/certifier.js';
import type { EngineConnection } from '../../../src/proxy/engine-connection.js';
import type { Link } from '../../../src/proxy/link.js';
import type { WriterService } from '../../../src/multiwriter/writer/index.js';
import { Backend, encode, type TxStatus } from '../../../src/protocol/index.js';

const service = {
  calls: { proof: 'proof', oids: { closing: 1, priority: 2, closed: 3, certify: 4, reassigned: 5 } },
  config: { policy: 'votes' },
  join: () => () => undefined,
  isVolatile: () => false,
  whenReady: () => null,
  transactions: {
    begin: () => ({ lsn: null, state: 'open' }),
    ended: () => undefined,
    giveUp: () => true,
  },
  quiesce: () => Promise.resolve(),
  passTurn: () => undefined,
} as unknown as WriterService;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class Stubbed {
  /** Each is one write. */
  toEngine: Buffer[] = [];
  toClient: Buffer[] = [];
  readonly certifier: Certifier;

  private constructor() {
    const link = { blocked: false, send: (bytes: Buffer) => this.toEngine.push(bytes) };
    const lent = { resume: () => undefined };
    const connection = { link, backendPid: 1, lend: () => lent } as unknown as EngineConnection;
    this.certifier = new Certifier(service, connection, {
      session: 1,
      toClient: (bytes) => this.toClient.push(bytes),
      passToClient: (_link, chunk, bytes) => this.toClient.push(Buffer.from(chunk.subarray(0, bytes))),
      drained: () => undefined,
      engineEnded: () => undefined,
      engineClosed: () => undefined,
      quiet: () => undefined,
      canceling: () => undefined,
      fail: (error) => {
        throw error;
      },
      encoding: () => 'UTF8',
      standardConformingStrings: () => true,
    });
    this.certifier.begin(connection, 'I');
  }

  /** In a block that has just begun. */
  static async inBlock(): Promise<Stubbed> {
    const stubbed = new Stubbed();
    // What it has to see is asked for before its first block.
    await stubbed.ask(encode.query('begin'));
    await stubbed.answer('I', row('', ''));
    await stubbed.answer('T', encode.commandComplete('BEGIN'));
    [stubbed.toEngine, stubbed.toClient] = [[], []];
    return stubbed;
  }

  ask(...messages: Buffer[]): Promise<void> {
    this.certifier.send(Buffer.concat(messages));
    return turn();
  }

  answer(status: TxStatus, ...messages: Buffer[]): Promise<void> {
    const bytes = Buffer.concat([...messages, encode.readyForQuery(status)]);
    this.certifier.received(null as unknown as Link, bytes, bytes.length);
    return turn();
  }

  /** To what was sent together. */
  async answerAll(...answers: readonly (readonly [TxStatus, ...Buffer[]])[]): Promise<void> {
    for (const [status, ...messages] of answers) await this.answer(status, ...messages);
  }

  /** The engine is gone. */
  lose(): Promise<void> {
    this.certifier.closed();
    return turn();
  }
}

/** Of a call without a value. */
export const called = (): Buffer => encode.message(Backend.FunctionCallResponse, encode.int32(0));

export const row = (...values: string[]): Buffer =>
  Buffer.concat([
    encode.message(Backend.RowDescription, encode.int16(0)),
    encode.message(
      Backend.DataRow,
      encode.int16(values.length),
      ...values.flatMap((value) => [encode.int32(value.length), Buffer.from(value)]),
    ),
  ]);
