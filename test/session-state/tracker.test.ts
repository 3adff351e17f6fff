/** What the proxy remembers of a session because no catalog shows it. */
import { describe, expect, it } from 'vitest';
import { ClientStream, EngineStream, Exchange, Frontend, encode } from '../../src/protocol/index.js';
import { SessionTracker, SettingNames } from '../../src/session-state/index.js';
import { MAX_UNNAMED_STATEMENT_BYTES } from '../../src/session-state/tracker.js';

const setUp = () => {
  const names = new SettingNames();
  const tracker = new SessionTracker(names);
  const exchange = new Exchange();
  const client = new ClientStream(exchange, tracker);
  const engine = new EngineStream(exchange, tracker);
  return {
    tracker,
    names,
    send: (...messages: Buffer[]) => messages.forEach((bytes) => client.scan(bytes, 0, bytes.length, false)),
    answer: (...messages: Buffer[]) => messages.forEach((bytes) => engine.scan(bytes, 0, bytes.length)),
  };
};

const tag = (text: string): Buffer => encode.message('C'.charCodeAt(0), Buffer.from(`${text}\0`));

describe('unnamed statement', () => {
  it('is the last unnamed Parse', () => {
    const { tracker, send } = setUp();
    expect(tracker.unnamedStatement).toBeNull();
    send(encode.parse('', 'select $1', [23]));
    send(encode.parse('named', 'select 2'));
    expect(tracker.unnamedStatement).toEqual(encode.parse('', 'select $1', [23]));
    send(encode.parse('', 'a longer one, '.repeat(100)));
    send(encode.parse('', 'short'));
    expect(tracker.unnamedStatement).toEqual(encode.parse('', 'short'));
  });

  it('is a copy: what comes later does not change it', () => {
    const { tracker, send } = setUp();
    send(encode.parse('', 'first'));
    const first = tracker.unnamedStatement;
    send(encode.parse('', 'other'));
    expect(first).toEqual(encode.parse('', 'first'));
  });

  it('survives Bind, Execute, Sync, and Close of others', () => {
    const { tracker, send } = setUp();
    const parse = encode.parse('', 'select 1');
    send(parse, encode.bind('', '', []), encode.execute(), encode.sync(), encode.closeStatement('x'));
    send(encode.message(Frontend.Close, Buffer.from('P\0')));
    expect(tracker.unnamedStatement).toEqual(parse);
  });

  it.each([
    ['a simple Query', encode.query('select 1')],
    ['an empty Query', encode.query('')],
    ['Close', encode.closeStatement('')],
  ])('ends with %s', (_, message) => {
    const { tracker, send } = setUp();
    send(encode.parse('', 'select 1'), message);
    expect(tracker.unnamedStatement).toBeNull();
  });

  const long = 'x'.repeat(MAX_UNNAMED_STATEMENT_BYTES + 1);

  it('is not kept when it is too long, and says so until it is replaced', () => {
    for (const inPieces of [false, true]) {
      const { tracker, send } = setUp();
      const message = encode.parse('', long);
      if (inPieces) send(message.subarray(0, 100), message.subarray(100));
      else send(message);
      expect(tracker.unnamedTooLong).toBe(true);
      expect(tracker.unnamedStatement).toBeNull();
      send(encode.parse('', 'short'));
      expect(tracker.unnamedTooLong).toBe(false);
      expect(tracker.unnamedStatement).toEqual(encode.parse('', 'short'));
    }
  });

  it('is no longer too long after a Query has destroyed it', () => {
    const { tracker, send } = setUp();
    send(encode.parse('', long), encode.query('select 1'));
    expect(tracker.unnamedTooLong).toBe(false);
  });

  it('stays when a Bind is too long to be shown', () => {
    const { tracker, send } = setUp();
    send(encode.parse('', 'select set_config($1, $2, false)'));
    const bind = encode.bind('', '', ['a.b', long]);
    send(bind.subarray(0, 100), bind.subarray(100));
    expect(tracker.unnamedStatement).toEqual(encode.parse('', 'select set_config($1, $2, false)'));
    expect(tracker.unnamedTooLong).toBe(false);
  });
});

describe('tags', () => {
  it.each([
    ['SET', true],
    ['RESET', true],
    ['DISCARD ALL', true],
    ['SELECT 1', false],
    ['DISCARD TEMP', false],
    ['SETTING', false],
  ])('%s: settings touched is %s', (text, touched) => {
    const { tracker, answer } = setUp();
    answer(tag(text));
    expect(tracker.settingsTouched).toBe(touched);
  });
});

it.each([
  ['UTF8', true],
  ['SQL_ASCII', true],
  ['LATIN1', false],
])('what is no text in %s fails before it touches the unnamed statement: %s', (encoding, kept) => {
  const { tracker, answer, send } = setUp();
  answer(encode.parameterStatus('client_encoding', encoding));
  send(encode.parse('', 'select 1'));
  const before = tracker.unnamedStatement;
  send(encode.query("select 'caf\xe9'"));
  expect(tracker.unnamedStatement).toEqual(kept ? before : null);
  send(encode.parse('', 'select 1'), encode.parse('', "select 'caf\xe9'"));
  expect(before?.equals(tracker.unnamedStatement!)).toBe(kept);
  send(encode.query("select 'caf\xc3\xa9'"));
  expect(tracker.unnamedStatement).toBeNull();
});

it('keeps the last value of each ParameterStatus, bytes as they are', () => {
  const { tracker, answer } = setUp();
  answer(
    encode.parameterStatus('application_name', 'a'),
    encode.parameterStatus('application_name', 'caf\xe9'),
  );
  expect([...tracker.parameters]).toEqual([['application_name', 'caf\xe9']]);
});

it('looks at all values once a PREPARE with set_config has passed by', () => {
  const { tracker, names, send } = setUp();
  send(encode.query('prepare q as select set_config($1, $2, false)'));
  expect(tracker.bindWanted).toBe(true);
  send(encode.query(`execute q('app.executed', '1')`), encode.bind('', 'q', ['app.bound', '1']));
  expect(names.all).toEqual(expect.arrayContaining(['app.executed', 'app.bound']));
});

it('looks at Binds once a statement with set_config was prepared', () => {
  const { tracker, names, send } = setUp();
  send(encode.bind('', 's', ['app.before']));
  expect(tracker.bindWanted).toBe(false);
  send(encode.parse('s', 'select set_config($1, $2, false)'), encode.bind('', 's', ['app.tenant', '7']));
  expect(tracker.bindWanted).toBe(true);
  expect(names.all).toEqual(['app.tenant']);
});
