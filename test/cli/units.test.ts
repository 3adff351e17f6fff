/** The small parts of the command line: quantities, colour decision, suggestions, shell lines, the end of a file, signals. */
import { spawnSync } from 'node:child_process';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { connectionEnv, exportLines } from '../../src/cli/connection-env.js';
import { bytesFlag, countFlag, durationFlag } from '../../src/cli/flags.js';
import { clip, count, duration, plural, size, withoutPassword } from '../../src/cli/format.js';
import { Interruption } from '../../src/cli/interruption.js';
import { makeStyle } from '../../src/cli/style.js';
import { table } from '../../src/cli/table.js';
import { editDistance, nearest } from '../../src/suggest.js';
import { followLines, lastLines } from '../../src/cli/tail.js';
import { beforeDashes, colorLevel } from '../../src/cli/terminal.js';
import { SOON } from '../support/soon.js';

describe('quantities', () => {
  it.each([
    [null, '–'],
    [0, '0.0 ms'],
    [9.94, '9.9 ms'],
    [9.96, '10 ms'],
    [999, '999 ms'],
    [999.6, '1.0 s'],
    [59_940, '59.9 s'],
    [59_960, '1 min 0 s'],
    [3_599_000, '59 min 59 s'],
    [3_600_000, '1 h 0 min'],
  ])('%s ms is %s', (ms, text) => expect(duration(ms)).toBe(text));

  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 kB'],
    [70 * 1024 * 1024, '70 MB'],
    [5 * 1024 ** 4, '5120 GB'],
  ])('%i bytes are %s', (bytes, text) => expect(size(bytes)).toBe(text));

  it('counts', () => {
    expect(count(1234567)).toBe('1,234,567');
    expect(plural(1, 'session')).toBe('1 session');
    expect(plural(0, 'session')).toBe('0 sessions');
  });

  it('clips to one line that fits', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 40 }), (text, width) => {
        const shown = clip(text, width);
        expect(shown.length).toBeLessThanOrEqual(width);
        expect(shown).not.toMatch(/[\n\r\t]/);
      }),
    );
  });

  it('hides a password', () => {
    expect(withoutPassword('postgres://me:secret@h:1/db')).toBe('postgres://me:***@h:1/db');
  });
});

describe('flags that are quantities', () => {
  const parse = (flag: typeof bytesFlag, text: string): Promise<number | undefined> =>
    flag({}).parse(text, {} as never, { name: 'max' } as never);

  it.each([
    ['0', 0],
    ['512', 512],
    ['64MB', 64 * 1024 ** 2],
    ['1.5kb', 1536],
    ['2 GB', 2 * 1024 ** 3],
  ])('size %s is %i bytes', async (text, bytes) => expect(await parse(bytesFlag, text)).toBe(bytes));

  it.each(['', 'x', '-1', '64MiB', '1 2MB', '9999999TB', 'MB'])('size %j is wrong usage', (text) =>
    expect(parse(bytesFlag, text)).rejects.toMatchObject({ code: 'DBP_USAGE', exitCode: 2 }),
  );

  it.each(['', '-1', '1.5', '1e3', '1000000001'])('count %j is wrong usage', (text) =>
    expect(parse(countFlag, text)).rejects.toMatchObject({ code: 'DBP_USAGE', exitCode: 2 }),
  );

  const parseDuration = (text: string): Promise<number | undefined> =>
    durationFlag({}).parse(text, {} as never, { name: 'for' } as never);

  it.each([
    ['250ms', 250],
    ['1.5s', 1_500],
    ['2min', 120_000],
  ])('duration %s is %i ms', async (text, ms) => expect(await parseDuration(text)).toBe(ms));

  // pgbench and timeout(1) count in seconds.
  it.each(['', '0s', '10', 's', '1h'])('duration %j is wrong usage', (text) =>
    expect(parseDuration(text)).rejects.toMatchObject({ code: 'DBP_USAGE', exitCode: 2 }),
  );

  it('counts', async () => expect(await parse(countFlag, '100000')).toBe(100_000));
});

describe('a table in a terminal', () => {
  const style = makeStyle(0);
  const columns = [
    { head: 'id', align: 'right' },
    { head: 'name' },
    { head: 'moves', align: 'right', whenNarrow: 'go' },
    { head: 'query', whenNarrow: 'cut' },
  ] as const;
  const rows = [['1', 'shop', '12', 'select * from accounts where id = 1']];
  const drawn = (width?: number): string => table(columns, rows, style, width);

  it('has lines of any length in a pipe', () =>
    expect(drawn()).toBe('  id  name  moves  query\n   1  shop     12  select * from accounts where id = 1'));

  it('is as wide as it is where that fits', () => expect(drawn(54)).toBe(drawn()));

  it('is cut off at its end before anything goes', () =>
    expect(drawn(30)).toBe('  id  name  moves  query\n   1  shop     12  select * f…'));

  it('loses what may go where that is not enough', () =>
    expect(drawn(24)).toBe('  id  name  query\n   1  shop  select * fr…'));

  it('says what it can in the narrowest', () =>
    expect(drawn(1)).toBe('  id  name  query\n   1  shop  select …'));
});

describe('colour', () => {
  const tty = { isTTY: true };
  const pipe = {};
  it.each([
    [tty, {}, [], 1],
    [tty, { TERM: 'xterm-256color' }, [], 2],
    [tty, { COLORTERM: 'truecolor' }, [], 3],
    [tty, { TERM: 'dumb' }, [], 0],
    [tty, { NO_COLOR: '1' }, [], 0],
    [tty, { NO_COLOR: '' }, [], 1],
    [tty, {}, ['status', '--no-color'], 0],
    [tty, {}, ['psql', '--', '--no-color'], 1],
    [pipe, {}, [], 0],
    [pipe, { FORCE_COLOR: '1' }, [], 1],
    [pipe, { FORCE_COLOR: '3' }, [], 3],
    [tty, { FORCE_COLOR: '0' }, [], 0],
    [pipe, { FORCE_COLOR: '1', NO_COLOR: '1' }, [], 0],
  ])('%j %j %j: level %i', (stream, env, argv, level) => expect(colorLevel(stream, env, argv)).toBe(level));

  it('leaves alone what stands after --', () => {
    expect(beforeDashes(['psql', '--', '--json'])).toEqual(['psql']);
  });
});

describe('did you mean', () => {
  const verbs = ['up', 'down', 'status', 'sessions', 'scale', 'events', 'top'];
  it.each([
    ['statsu', 'status'],
    ['sclae', 'scale'],
    ['session', 'sessions'],
    ['ups', 'up'],
    ['frobnicate', undefined],
    // Short words are near to one another without being meant.
    ['nope', undefined],
    ['ui', undefined],
    ['x', undefined],
  ])('%s: %s', (word, meant) => expect(nearest(word, verbs)).toBe(meant));

  it('is a distance: nothing to itself, the same both ways, no more than the longer word', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
        expect(editDistance(a, a)).toBe(0);
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
      }),
    );
  });
});

describe('env', () => {
  it('takes a URL apart', () => {
    expect(connectionEnv('postgres://me:p%40ss@127.0.0.1:6432/my%20db')).toEqual({
      DATABASE_URL: 'postgres://me:p%40ss@127.0.0.1:6432/my%20db',
      PGHOST: '127.0.0.1',
      PGPORT: '6432',
      PGUSER: 'me',
      PGPASSWORD: 'p@ss',
      PGDATABASE: 'my db',
    });
  });

  it('survives a shell, whatever the value', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0')),
        (value) => {
          const { stdout } = spawnSync('sh', ['-c', `${exportLines({ V: value })}\nprintf %s "$V"`]);
          expect(stdout.toString('utf8')).toBe(value);
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('the end of a log', () => {
  let directory: string;
  beforeAll(async () => void (directory = await mkdtemp(join(tmpdir(), 'dbp-tail-'))));
  afterAll(() => rm(directory, { recursive: true }));

  it('has as many lines as asked for, also across the chunks it reads', async () => {
    const file = join(directory, 'long');
    const lines = Array.from({ length: 5_000 }, (_, index) => `${index} ${'ü'.repeat(index % 50)}`);
    await writeFile(file, `${lines.join('\n')}\n`);
    for (const wanted of [1, 40, 4_999, 5_000, 9_000]) {
      expect((await lastLines(file, wanted)).lines).toEqual(lines.slice(-wanted));
    }
  });

  it('is empty when there is no file, or nothing in it', async () => {
    await writeFile(join(directory, 'empty'), '');
    expect(await lastLines(join(directory, 'empty'), 5)).toEqual({ lines: [], offset: 0 });
    expect(await lastLines(join(directory, 'absent'), 5)).toEqual({ lines: [], offset: 0 });
  });

  it('goes on with what is added, also half a character at a time and after the file was replaced', async () => {
    const file = join(directory, 'growing');
    await writeFile(file, 'old\n');
    const ending = new AbortController();
    const seen: string[] = [];
    const following = followLines(file, 4, ending.signal, (line) => seen.push(line));
    const [first, second] = [Buffer.from('ü\n').subarray(0, 1), Buffer.from('ü\n').subarray(1)];
    await appendFile(file, Buffer.concat([Buffer.from('one\n'), first]));
    await vi.waitFor(() => expect(seen).toEqual(['one']), SOON);
    await appendFile(file, second);
    await vi.waitFor(() => expect(seen).toEqual(['one', 'ü']), SOON);
    await writeFile(file, 'new\n');
    await vi.waitFor(() => expect(seen).toEqual(['one', 'ü', 'new']), SOON);
    ending.abort();
    await following;
  });
});

describe('signals', () => {
  it('the first asks, the second ends', () => {
    const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never);
    const first = vi.fn();
    const interruption = new Interruption(first, () => {});
    interruption.listen();
    try {
      process.emit('SIGINT', 'SIGINT');
      expect(first).toHaveBeenCalledExactlyOnceWith('SIGINT');
      expect(interruption.signal.reason).toMatchObject({ code: 'DBP_INTERRUPTED', exitCode: 130 });
      expect(exit).not.toHaveBeenCalled();
      process.emit('SIGTERM', 'SIGTERM');
      expect(exit).toHaveBeenCalledExactlyOnceWith(143);
    } finally {
      interruption.dispose();
      exit.mockRestore();
    }
  });
});
