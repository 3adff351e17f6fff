/**
 * Message sequences of a client, valid and half valid, with COPY above all: played against PostgreSQL and against a proxy, the answers
 * have to be the same.
 */
import fc from 'fast-check';
import { Frontend, encode, errorFields, type Message } from '../../src/protocol/index.js';
import { inPieces } from '../fuzz/inputs.js';
import type { RawClient } from './raw-client.js';

const { CopyDone, CopyData, Describe, Parse, Bind, Execute } = Frontend;
/** For an answer that PostgreSQL has given. */
const WAIT_MS = 20_000;
/** After which PostgreSQL, asked straight, has said what it has to say; if not, the less is waited for later. */
const QUIET_MS = 15;

const copyDone = encode.message(CopyDone);
const copyFail = encode.copyFail('no');
const copyData = (text: string): Buffer => encode.message(CopyData, Buffer.from(text));
const S = encode.sync();
const H = encode.flush();
const Q = encode.query;
const batch = (sql: string): Buffer =>
  Buffer.concat([encode.parse('', sql), encode.bind('', '', []), encode.execute()]);

const comparable = ({ type, body }: Message): string => {
  const letter = String.fromCharCode(type);
  if (letter !== 'E' && letter !== 'N') return `${letter} ${body.toString('latin1')}`;
  const fields = errorFields(body);
  return `${letter} ${['S', 'C', 'M'].map((name) => fields.get(name)).join(' ')}`;
};

/** What is sent before it is answered, before anything else is sent. */
export const PAUSE = '-pause-';
export type Step = Buffer | typeof PAUSE;
export type Chunk = { readonly bytes: Buffer; readonly pause: boolean };

/** Sends the chunks; `counts`: how many messages to wait for at each pause. */
export const play = async (
  client: RawClient,
  chunks: readonly Chunk[],
  counts: readonly number[] | null,
): Promise<{ answers: string[]; counts: number[] }> => {
  const answers: string[] = [];
  const seen: number[] = [];
  let ended = false;
  const take = async (limitMs: number): Promise<boolean> => {
    try {
      const message = await client.next(limitMs);
      if (!message) ended = true;
      else if (!'SA'.includes(String.fromCharCode(message.type))) answers.push(comparable(message));
      return message !== null;
    } catch {
      return false;
    }
  };
  for (const { bytes, pause } of chunks) {
    if (client.ended) break;
    client.socket.write(bytes);
    await new Promise(setImmediate);
    if (!pause) continue;
    if (counts === null) while (await take(QUIET_MS));
    else {
      const count = counts[seen.length] ?? 0;
      while (answers.length < count && (await take(WAIT_MS)));
    }
    seen.push(answers.length);
  }
  client.socket.write(Buffer.concat([copyFail, S, Q(`select 'marker'`)]));
  const isMarker = (text: string | undefined): boolean =>
    text?.includes('marker') === true && text.startsWith('D');
  while (!ended && !(answers.at(-1)?.startsWith('Z') && isMarker(answers.at(-3)))) {
    if (!(await take(WAIT_MS)) && !ended) {
      answers.push('NOTHING MORE');
      break;
    }
  }
  return { answers, counts: seen };
};

const Big = copyData('1\n'.repeat(40_000));
const copyC = batch('copy c (n) from stdin');
const copyT = batch('copy t from stdin');
const copyU = batch('copy u from stdin');
const copyF = batch('copy c (n) from stdin (freeze, header match)');
const one = batch('select 1');
const good = copyData('1\n');
const bad = copyData('x\n');
const half = copyData('x');

export const cases: Record<string, readonly Step[]> = {
  'sync in the data, error before it': [copyC, PAUSE, good, bad, S, good, copyDone, S],
  'the same at once': [copyC, good, bad, S, good, copyDone, S],
  'sync in the data, error behind it': [copyC, PAUSE, good, half, S, good, copyDone, S],
  'the same, the second at once': [copyC, good, half, S, good, copyDone, S],
  'error, pause, the rest': [copyC, PAUSE, bad, PAUSE, S, PAUSE, good, copyDone, PAUSE, S],
  'error, megabytes behind it': [copyC, PAUSE, bad, S, ...Array<Buffer>(40).fill(Big), copyDone, S, one, S],
  'error, megabytes behind it, no sync within': [
    copyC,
    PAUSE,
    bad,
    ...Array<Buffer>(40).fill(Big),
    copyDone,
    S,
    one,
    S,
  ],
  'sync behind execute, statement trigger fails': [
    copyT,
    S,
    PAUSE,
    good,
    copyDone,
    S,
    Q('select 1'),
    Q('select 2'),
  ],
  'sync behind execute, statement trigger fails, at once': [
    copyT,
    S,
    good,
    copyDone,
    S,
    Q('select 1'),
    Q('select 2'),
  ],
  'trigger fails, client stops': [copyT, S, PAUSE],
  'trigger fails, client stops, sync later': [copyT, PAUSE, S, PAUSE],
  'error and a pipeline behind': [
    copyC,
    PAUSE,
    bad,
    S,
    copyDone,
    S,
    Q('select 1'),
    Q('select 2; select pg_sleep(0.05)'),
  ],
  'error and a pipeline behind, all at once': [
    copyC,
    bad,
    S,
    copyDone,
    S,
    Q('select 1'),
    Q('select 2; select pg_sleep(0.05)'),
  ],
  'header match fails': [
    copyF,
    S,
    PAUSE,
    copyData('z\n'),
    copyDone,
    S,
    Q('select 1'),
    Q('select pg_sleep(0.02)'),
  ],
  'simple, sync in the data': [Q('copy c (n) from stdin'), PAUSE, good, S, good, copyDone, Q('select 1')],
  'simple, sync in the data, error before': [
    Q('copy c (n) from stdin'),
    PAUSE,
    bad,
    S,
    good,
    copyDone,
    Q('select 1; select pg_sleep(0.02)'),
  ],
  'simple, syncs in the data, error before, at once': [
    Q('copy c (n) from stdin'),
    bad,
    S,
    S,
    good,
    copyDone,
    Q('select 1; select pg_sleep(0.02)'),
  ],
  'simple, several copies': [
    Q('copy c (n) from stdin; copy c (n) from stdin'),
    good,
    copyDone,
    good,
    good,
    copyDone,
    Q('select 1'),
  ],
  'simple, several copies, first fails': [
    Q('copy c (n) from stdin; copy c (n) from stdin'),
    bad,
    copyDone,
    good,
    good,
    copyDone,
    Q('select 1'),
  ],
  'simple, several copies, second fails, syncs': [
    Q('copy c (n) from stdin; copy c (n) from stdin'),
    good,
    S,
    copyDone,
    S,
    bad,
    S,
    good,
    copyDone,
    S,
    Q('select 1; select pg_sleep(0.02)'),
  ],
  'copy fail': [copyC, PAUSE, good, copyFail, S, one, S],
  'copy fail at once, sync': [copyC, S, good, copyFail, S, one, S],
  'copy done twice': [copyC, PAUSE, good, copyDone, copyDone, S, PAUSE, Q('select 1')],
  'copy done twice, simple': [
    Q('copy c (n) from stdin'),
    PAUSE,
    good,
    copyDone,
    PAUSE,
    copyDone,
    PAUSE,
    Q('select 1'),
  ],
  'copy at once': [copyC, good, copyDone, S, Q('select 1')],
  'copies in one batch': [copyC, copyC, good, copyDone, good, copyDone, one, S, Q('select 1')],
  'copies in one batch, at once': [copyC, good, copyDone, copyC, good, copyDone, one, S, Q('select 1')],
  'copies in one batch, the first fails': [
    copyC,
    bad,
    copyDone,
    copyC,
    good,
    copyDone,
    one,
    S,
    Q('select pg_sleep(0.02)'),
  ],
  'copies in one batch, the second fails': [
    copyC,
    good,
    copyDone,
    copyC,
    bad,
    S,
    copyDone,
    one,
    S,
    Q('select pg_sleep(0.02)'),
  ],
  'copies in one batch, syncs': [
    copyC,
    S,
    good,
    copyDone,
    S,
    copyC,
    S,
    good,
    copyDone,
    S,
    one,
    S,
    Q('select pg_sleep(0.02)'),
  ],
  'flush in the data': [copyC, H, PAUSE, good, H, good, copyDone, H, PAUSE, S],
  'flush behind an error': [copyC, PAUSE, bad, H, H, PAUSE, copyDone, H, S],
  'deferred key fails at sync': [copyU, good, good, copyDone, S, one, S, Q('select 1')],
  'deferred key, sync in the data': [
    copyU,
    S,
    good,
    S,
    good,
    copyDone,
    S,
    one,
    S,
    Q('select pg_sleep(0.02)'),
  ],
  'query behind a failed parse': [encode.parse('', 'selec'), Q('select 1'), S, PAUSE, Q('select 2')],
  'query behind a good parse': [encode.parse('', 'select 5'), Q('select 1'), S, PAUSE, Q('select 2')],
  'queries behind a failed batch': [
    batch('select 1/0'),
    Q('select 1'),
    Q('select 2'),
    S,
    PAUSE,
    Q('select 3'),
    S,
  ],
  'failing query behind a batch': [one, Q('selec'), S, PAUSE, Q('select 3')],
  'query in copy data': [copyC, PAUSE, good, Q('select 1'), S],
  'query in copy data behind an error': [copyC, PAUSE, bad, Q('select 1'), S, S, PAUSE, Q('select 2')],
  'query in copy data behind error and sync': [copyC, PAUSE, bad, S, Q('select 1'), S, PAUSE, Q('select 2')],
  'batch in copy data behind error and sync': [copyC, PAUSE, bad, S, one, S, S, PAUSE, Q('select 2')],
  'batch in copy data behind error': [copyC, PAUSE, bad, one, S, one, S, PAUSE, Q('select 2')],
  'only syncs': [S, S, S, PAUSE, S],
  'only flush': [H, PAUSE],
  'stray copy messages': [good, copyDone, copyFail, PAUSE, Q('select 1'), good, copyDone, PAUSE],
  'stray copy messages in a batch': [one, good, copyDone, one, copyFail, S, PAUSE],
  'copy done in a batch behind an error': [
    batch('select 1/0'),
    good,
    copyDone,
    S,
    copyC,
    PAUSE,
    good,
    copyDone,
    S,
  ],
  'terminate in the data': [copyC, PAUSE, good, encode.terminate()],
  'copy out, done by the client': [Q('copy c to stdout'), copyDone, S, PAUSE, Q('select 1')],
  'replication command': [Q('START_REPLICATION 0/0'), PAUSE, Q('select 1')],
  'function call in a failed batch': [
    batch('select 1/0'),
    encode.functionCall(1397, ['-4']),
    S,
    PAUSE,
    encode.functionCall(1397, ['-4']),
  ],
  'function call in the data behind error and sync': [
    copyC,
    PAUSE,
    bad,
    S,
    encode.functionCall(1397, ['-4']),
    PAUSE,
  ],
  'bad bodies': [
    encode.message(Describe, Buffer.from('Zx\0')),
    S,
    encode.message(Parse, Buffer.from('x')),
    S,
    encode.message(Bind),
    Q('select 1'),
    S,
    encode.message(Execute, Buffer.from('\0')),
    S,
  ],
  'suspended portals': [
    encode.parse('', 'select generate_series(1,3)'),
    encode.bind('p', '', []),
    encode.message(Execute, Buffer.from('p\0\0\0\0\x01', 'latin1')),
    encode.message(Execute, Buffer.from('p\0\0\0\0\x01', 'latin1')),
    Q('select 1'),
    S,
  ],
};

/** `cuts`: where each is cut once more. */
export const chunksOf = (steps: readonly Step[], cuts: readonly number[] = []): Chunk[] => {
  const runs: Buffer[][] = [[]];
  for (const step of steps)
    if (step === PAUSE) runs.push([]);
    else runs.at(-1)?.push(step);
  return runs.flatMap((run) => {
    const pieces = inPieces(Buffer.concat(run), cuts);
    return pieces.map((bytes, i) => ({ bytes, pause: i === pieces.length - 1 }));
  });
};

/** For people. */
export const shown = (steps: readonly Step[]): string =>
  steps
    .map((step) => (step === PAUSE ? PAUSE : step.toString('latin1', 0, 60).replaceAll(/[^ -~]+/g, '.')))
    .join(' | ');

/** Temporary rows are others' business: those of the cases are in tables that both sides have for themselves. */
export const tablesIn = (schema: string): string => `
  create schema ${schema};
  create table ${schema}.c (n int, seq serial);
  create table ${schema}.u (n int primary key deferrable initially deferred);
  create table ${schema}.t (n int);
  create function ${schema}.no() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
  create trigger no before insert on ${schema}.t execute function ${schema}.no()`;

const anyMessage = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(S, H, copyDone, copyFail, good, bad, half, Big) },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      copyC,
      copyT,
      copyU,
      copyF,
      one,
      batch('selec'),
      batch('select 1/0'),
      batch('begin'),
      batch('commit'),
      batch('copy c (n) to stdout'),
      batch(''),
      batch('insert into u values (1)'),
    ),
  },
  {
    weight: 4,
    arbitrary: fc
      .constantFrom(
        'select 1',
        '',
        'selec',
        'copy c (n) from stdin',
        'copy t from stdin',
        'copy c (n) from stdin; copy c (n) from stdin',
        'select 1; select 1/0',
        'begin',
        'commit',
        'copy c (n) to stdout',
        'select 1; select pg_sleep(0.01)',
      )
      .map((sql) => Q(sql)),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.constantFrom('', 'a'),
        fc.constantFrom(
          'select 1',
          'select $1::int',
          'copy c (n) from stdin',
          'select generate_series(1,3)',
          'selec',
        ),
      )
      .map(([name, sql]) => encode.parse(name, sql)),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom('', 'p'), fc.constantFrom('', 'a'), fc.constantFrom<string[]>([], ['1'], ['x']))
      .map(([portal, name, values]) => encode.bind(portal, name, values)),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom('', 'p'), fc.constantFrom(0, 1))
      .map(([portal, rows]) =>
        encode.message(Execute, Buffer.from(`${portal}\0\0\0\0${String.fromCharCode(rows)}`, 'latin1')),
      ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      encode.closeStatement('a'),
      encode.describePortal(''),
      encode.describePortal('p'),
      encode.message(Describe, Buffer.from('Sa\0')),
      encode.functionCall(1397, ['-4']),
      encode.functionCall(1),
      encode.message(Describe, Buffer.from('Zx\0')),
      encode.message(Parse, Buffer.from('x')),
    ),
  },
);
export const sequence = fc.tuple(
  fc.array(
    fc.oneof({ weight: 6, arbitrary: anyMessage }, { weight: 1, arbitrary: fc.constant<Step>(PAUSE) }),
    { minLength: 1, maxLength: 14 },
  ),
  fc.array(fc.nat(), { maxLength: 3 }),
);
