/** What goes out in one turn goes out in one write, to the engine and to the client: each write wakes somebody. */
import { beforeEach, expect, it } from 'vitest';
import { Certifier } from '../../../src/proxy/certify/certifier.js';
import type { EngineConnection } from '../../../src/proxy/engine-connection.js';
import type { Link } from '../../../src/proxy/link.js';
import type { WriterService } from '../../../src/multiwriter/writer/index.js';
import { Backend, encode, Frontend, type TxStatus } from '../../../src/protocol/index.js';

const { query, commandComplete, readyForQuery, message } = encode;
const service = {
  secret: 'secret',
  config: { policy: 'votes' },
  join: () => () => undefined,
  isVolatile: () => false,
  whenReady: () => null,
  begin: () => ({ lsn: null, state: 'open' }),
  begun: () => undefined,
  ended: () => undefined,
} as unknown as WriterService;

/** Each is one write. */
let toEngine: Buffer[];
let toClient: Buffer[];
let certifier: Certifier;

beforeEach(async () => {
  toEngine = [];
  toClient = [];
  const link = { blocked: false, send: (bytes: Buffer) => toEngine.push(bytes) };
  const lent = { resume: () => undefined };
  const connection = { link, backendPid: 1, lend: () => lent } as unknown as EngineConnection;
  certifier = new Certifier(service, connection, {
    session: 1,
    toClient: (bytes) => toClient.push(bytes),
    passToClient: (_link, chunk, bytes) => toClient.push(Buffer.from(chunk.subarray(0, bytes))),
    drained: () => undefined,
    engineEnded: () => undefined,
    engineClosed: () => undefined,
    quiet: () => undefined,
    canceling: () => undefined,
    fail: (error) => {
      throw error;
    },
    encoding: () => 'UTF8',
  });
  certifier.begin(connection, 'I');
  // What it has to see is asked for before its first block.
  await ask(query('begin'));
  await answer('I', row('', ''));
  await answer('T', commandComplete('BEGIN'));
  [toEngine, toClient] = [[], []];
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const ask = (...messages: Buffer[]): Promise<void> => {
  certifier.send(Buffer.concat(messages));
  return turn();
};
const answer = (status: TxStatus, ...messages: Buffer[]): Promise<void> => {
  const bytes = Buffer.concat([...messages, readyForQuery(status)]);
  certifier.received(null as unknown as Link, bytes, bytes.length);
  return turn();
};
const row = (...values: string[]): Buffer =>
  Buffer.concat([
    message(Backend.RowDescription, encode.int16(0)),
    message(
      Backend.DataRow,
      encode.int16(values.length),
      ...values.flatMap((value) => [encode.int32(value.length), Buffer.from(value)]),
    ),
  ]);
const NAME = row('1.1');
/** Types of the messages of each write. */
const typesOf = (writes: readonly Buffer[]): string[] =>
  writes.map((bytes) => {
    let types = '';
    for (let at = 0; at < bytes.length; at += 1 + bytes.readInt32BE(at + 1))
      types += String.fromCharCode(bytes[at] ?? 0);
    return types;
  });

it('the name of a transaction is asked for together with its first statement', async () => {
  await ask(query('update t set v = 1'));
  expect(typesOf(toEngine)).toEqual(['QQ']);
});

it('CommandComplete of a COMMIT, and its ReadyForQuery', async () => {
  await ask(query('update t set v = 1'));
  await answer('T', NAME);
  await answer('T', commandComplete('UPDATE 1'));
  await ask(query('commit'));
  await answer('T', row(''), commandComplete('SET CONSTRAINTS'));
  await answer('T', row(''));
  toClient = [];
  await answer('I', commandComplete('COMMIT'));
  expect(toClient).toEqual([Buffer.concat([commandComplete('COMMIT'), readyForQuery('I')])]);
});

it('a batch, with the name of its transaction', async () => {
  await ask(encode.parse('', 'select v from t'), encode.bind('', '', []), encode.execute(), encode.sync());
  expect(typesOf(toEngine)).toEqual(['QPBES']);
  expect(toEngine[0]?.[0]).toBe(Frontend.Query);
});

it('of two queries the second one in the turn in which the first is answered', async () => {
  await ask(query('begin'), query('savepoint a'), query('savepoint b'));
  expect(typesOf(toEngine)).toEqual(['Q']);
  await answer('T', commandComplete('BEGIN'));
  expect(typesOf(toEngine)).toEqual(['Q', 'QQ']);
  await answer('T', NAME);
  expect(toEngine).toHaveLength(2);
  await answer('T', commandComplete('SAVEPOINT'));
  expect(typesOf(toEngine)).toEqual(['Q', 'QQ', 'Q']);
});
