/** Reports of results that have ended: what is in them, and what cannot break them. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { annotations, EventFile, exitCodeOf, type DemoResult } from '../../src/scenario/index.js';
import { junit } from '../../src/scenario/report/junit.js';
import { markdown } from '../../src/scenario/report/markdown.js';

const step = (over: Partial<DemoResult['steps'][number]> = {}): DemoResult['steps'][number] => ({
  ...{
    name: 'scale to large',
    verb: 'scale',
    line: 7,
    outcome: 'done',
    startMs: 0,
    ms: 1_234,
    detail: 'all moved',
  },
  ...{ error: null, ...over },
});
const demo = (over: Partial<DemoResult> = {}): DemoResult => ({
  ...{
    schema: 'dbproxy.demo/1',
    scenario: 'scale & <patch> | "x"',
    file: '/home/me/x.yaml',
    outcome: 'failed',
  },
  ...{
    error: null,
    verdict: '1 of 2 expectations do not hold.',
    startedAt: '2026-01-01T00:00:00.000Z',
    totalMs: 5_000,
  },
  steps: [step(), step({ name: 'later', outcome: 'skipped', line: 9 })],
  expectations: [
    { text: 'client.errors == 0', actual: '0', ok: true, line: 11, when: 'end' },
    { text: 'stall.p99 < 50ms', actual: '61.2 ms', ok: false, line: 12, when: 'end' },
  ],
  ...{
    switches: [],
    handovers: [],
    conflicts: [],
    workload: null,
    stepWorkloads: [],
    engine: null,
    kept: null,
    ...over,
  },
});
const failing = demo({
  steps: [
    step({
      ...{ outcome: 'failed', detail: 'rolled back\u0000 50 %,\nbecause: x' },
      error: {
        schema: 'dbproxy.error/1',
        code: 'DBP_SWITCH_DEADLINE',
        message: 'rolled\nback',
        suggestions: [],
      },
    }),
  ],
});

describe('JUnit', () => {
  const xml = junit([demo(), failing]);

  test.skipIf(spawnSync('xmllint', ['--version']).error !== undefined)('is XML', () => {
    execFileSync('xmllint', ['--noout', '-'], { input: xml });
  });

  test('has steps and expectations as cases, and counts them', () => {
    expect(xml).toContain('tests="4" failures="1" errors="0" skipped="1"');
    expect(xml).toContain('tests="3" failures="1" errors="1" skipped="0"');
    expect(xml).toContain('name="scale &amp; &lt;patch&gt; | &quot;x&quot;"');
    expect(xml).toContain('<failure message="stall.p99 &lt; 50ms: 61.2 ms" type="expectation"/>');
    expect(xml).toContain('<error message="rolled&#10;back" type="DBP_SWITCH_DEADLINE"/>');
    expect(xml).toContain('line="12"');
    expect(xml).not.toContain('\u0000');
  });
});

describe('Markdown', () => {
  test('has what was expected and what was seen', () => {
    const text = markdown([demo()]);
    expect(text).toContain('## ❌ scale & &lt;patch> \\| "x"');
    expect(text).toContain('| ❌ | `stall.p99 &lt; 50ms` | 61.2 ms |');
    expect(text).toContain('1 of 2 expectations do not hold.');
  });
});

describe('annotations of GitHub Actions', () => {
  test('stand at the line that is not as it should be', () => {
    expect(annotations([demo()], '/home/me')).toEqual([
      '::error file=x.yaml,line=12,title=scale & <patch> | "x"%3A stall.p99 < 50ms::expected stall.p99 < 50ms, saw 61.2 ms',
    ]);
    expect(annotations([failing], '/home/me')[0]).toContain('line=7,');
    expect(annotations([failing], '/home/me')[0]).toMatch(/::rolled back\u0000 50 %25,%0Abecause: x$/);
    expect(annotations([demo({ outcome: 'passed', expectations: [] })], '/home/me')).toEqual([]);
  });
});

describe('files', () => {
  test('a path that cannot be written is refused before anything is played', async () => {
    await expect(EventFile.open('/nonexistent/e.ndjson')).rejects.toMatchObject({
      code: 'DBP_ENV_FILE',
      message: 'the file /nonexistent/e.ndjson cannot be written: its directory is not there',
    });
  });

  test('a full disk is said', async () => {
    const events = await EventFile.open('/dev/full');
    events.add('x', { kind: 'step', name: 'up', detail: '' });
    await expect(events.close()).rejects.toMatchObject({
      code: 'DBP_ENV_FILE',
      message: 'the file /dev/full cannot be written: the disk is full',
    });
  });

  test('events are lines of JSON, in order', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'dbp-'));
    const file = join(directory, 'e.ndjson');
    const events = await EventFile.open(file);
    for (const name of ['up', 'load', 'down']) events.add('x', { kind: 'step', name, detail: '' });
    await events.close();
    const lines = (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { name: string });
    await rm(directory, { recursive: true });
    expect(lines.map(({ name }) => name)).toEqual(['up', 'load', 'down']);
  });
});

test('the exit code: of the error, else 3, else 0', () => {
  expect(exitCodeOf(demo())).toBe(3);
  expect(exitCodeOf(demo({ outcome: 'passed' }))).toBe(0);
  const error = {
    schema: 'dbproxy.error/1',
    code: 'DBP_SCENARIO_TIMEOUT',
    message: '',
    suggestions: [],
  } as const;
  expect(exitCodeOf(demo({ outcome: 'errored', error }))).toBe(5);
});
