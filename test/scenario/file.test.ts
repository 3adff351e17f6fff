/** Scenario files: what is read, and what is wrong with one, with its line. Nothing is started. */
import fc from 'fast-check';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { DbproxyError } from '../../src/errors/index.js';
import { parseScenario, type Scenario } from '../../src/scenario/file/read.js';
import { scenarioJsonSchema } from '../../src/scenario/file/schema.js';
import { listScenarios } from '../../src/scenario/index.js';

const parse = (text: string): Promise<Scenario> => parseScenario('x.yaml', text);
const refusal = (text: string): Promise<DbproxyError> =>
  parse(text).then(
    () => Promise.reject(new Error('nothing was wrong with it')),
    (thrown: unknown) => thrown as DbproxyError,
  );
const complaint = (text: string): Promise<string> =>
  refusal(text).then(
    ({ message }) => message,
    (error: unknown) => (error as Error).message,
  );
const head = 'version: 1\nname: x\n';
const steps = `${head}steps:\n  - sleep: 1s\n`;

describe('a scenario', () => {
  test('has defaults for what it does not say', async () => {
    expect(await parse(steps)).toMatchObject({
      ...{ name: 'x', timeout: 600_000, steady: [], expect: [] },
      engine: { size: 'small', postgres: '17' },
      steps: [{ verb: 'sleep', sleep: 1_000, timeout: 300_000, line: 4 }],
    });
  });

  test('says durations, rates and versions as people write them', async () => {
    const { workload, steps } = await parse(
      `${head}workload: { script: [tpcb-like@2, temp-table], rate: 400/s, warmup: 250ms }\nsteps:\n` +
        '  - { at: 2min, scale: { to: large, holdBudget: 0.5s } }\n  - patch: { to: "17.10" }\n',
    );
    expect(workload).toMatchObject({ rate: 400, warmup: 250, clients: 8, scale: 1 });
    expect(steps[0]).toMatchObject({ at: 120_000, scale: { to: 'large', holdBudget: 500 } });
    expect(steps[1]).toMatchObject({ verb: 'patch', patch: { to: '17.10' } });
  });

  test('finds its scripts beside itself, from wherever it is run', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'dbp-'));
    await writeFile(join(directory, 'reads.sql'), 'SELECT 1;');
    const { workload } = await parseScenario(
      join(directory, 'x.yaml'),
      `${head}workload: { script: reads.sql@3 }\nsteps: [{ sleep: 1s }]\n`,
    );
    await rm(directory, { recursive: true });
    expect(workload?.script).toBe(join(directory, 'reads.sql@3'));
  });
});

describe('what is wrong is said with its line', () => {
  test.each<[string, string]>([
    ['', 'x.yaml:1: not a scenario: it begins with version: 1'],
    ['- 1', 'x.yaml:1: not a scenario: it begins with version: 1'],
    ['version: 1\nname: [', 'x.yaml:2: not YAML: '],
    ['version: 1\nname: a\nname: b\nsteps: [{ sleep: 1s }]', 'x.yaml:3: not YAML: Map keys must be unique'],
    ['version: 1\n{ name: a }: 2\n', 'x.yaml:2: a key is a word, no list or map'],
    ['name: x\nsteps: []', 'x.yaml:1: version: is missing; this dbproxy reads version: 1'],
    [`version: 2\nname: x\nsteps: [{ sleep: 1s }]`, 'x.yaml:1: version: this dbproxy reads version: 1'],
    [`${head}`, 'x.yaml:1: steps: is missing'],
    [
      `${head}steps: [{ scale: {} }]`,
      'x.yaml:3: steps[1].scale.to: is missing; expected one of "small"|"medium"|"large"|"xlarge"',
    ],
    [`${steps}stpes: 1`, 'x.yaml:5: there is no stpes here; did you mean steps?'],
    [`${head}steps:\n  - scale: { ot: large }`, 'x.yaml:4: steps[1].scale'],
    [
      `${head}steps:\n  - sleep: 1s\n  - scale: { to: huge }`,
      'x.yaml:5: steps[2].scale.to: expected one of "small"|"medium"|"large"|"xlarge", not "huge"',
    ],
    [
      `${head}steps:\n  - sleep: soon`,
      'x.yaml:4: steps[1].sleep: is not a duration such as 250ms, 5s or 2min, not "soon"',
    ],
    [
      `${head}steps:\n  - sleep: 5`,
      'x.yaml:4: steps[1].sleep: expected a duration such as 250ms, 5s or 2min, not 5',
    ],
    [
      `${head}steps:\n  - patch: { to: 17.10 }`,
      'x.yaml:4: steps[1].patch.to: expected a version in quotes, such as "17.10": without them YAML reads a number',
    ],
    [
      `${head}steps:\n  - { name: nothing }`,
      'x.yaml:4: steps[1]: a step has one of scale, patch, autoscale, check, workload, until, sleep, sql, fault',
    ],
    [
      `${head}steps:\n  - { sleep: 1s, check: {} }`,
      'x.yaml:4: steps[1]: a step has one verb, not check and sleep',
    ],
    [`${head}steps:\n  - { sleep: 1s, equals: 1 }`, 'x.yaml:4: steps[1]: equals belongs to sql'],
    [
      `${head}steps:\n  - { sleep: 1s, outcome: rolled-back }`,
      'x.yaml:4: steps[1]: outcome rolled-back does not go with sleep',
    ],
    [
      `${head}steps:\n  - fault: { kill: engine, at: warm }`,
      'x.yaml:4: steps[1]: fault.at belongs to a scale or patch of the same step',
    ],
    [
      `${head}workload: { script: tpcb-lik }\n${steps.slice(head.length)}`,
      'x.yaml:3: workload.script: there is no workload "tpcb-lik"; did you mean tpcb-like?',
    ],
    [
      `${head}workload: { script: tpcb-like, rate: fast }\n${steps.slice(head.length)}`,
      'x.yaml:3: workload.rate: expected a rate such as 400/s',
    ],
    [
      `${head}workload: { script: tpcb-like, rate: 0 }\n${steps.slice(head.length)}`,
      'x.yaml:3: workload.rate: expected a rate above 0 and up to 1000000/s, not 0',
    ],
    ...['0/s', '2000000/s', '99999999999999999999999/s'].map((rate): [string, string] => [
      `${head}workload: { script: tpcb-like, rate: ${rate} }\n${steps.slice(head.length)}`,
      `x.yaml:3: workload.rate: expected a rate above 0 and up to 1000000/s`,
    ]),
    [
      `${head}timeout: 50000min\n${steps.slice(head.length)}`,
      'x.yaml:3: timeout: expected at most 24 hours, 1440min',
    ],
    [
      `${head}steps:\n  - autoscale: { min: large, max: small }`,
      'x.yaml:4: steps[1].autoscale: --min large is larger than --max small',
    ],
    [
      `${head}steps:\n  - autoscale: { cpuAbove: 70 }`,
      'x.yaml:4: steps[1].autoscale.cpuAbove: expected a percentage such as 80%, not 70',
    ],
    [
      `${head}steps:\n  - autoscale: { off: true, max: large }`,
      'x.yaml:4: steps[1].autoscale: off goes alone',
    ],
    [`${head}steps:\n  - until: { size: huge }`, 'x.yaml:4: steps[1].until.size: '],
    [
      `${steps}expect:\n  - client.errors == 0\n  - client.erors == 0`,
      'x.yaml:7: expect[2]: there is no metric client.erors; did you mean client.errors?',
    ],
    [`${steps}expect:\n  - stall < 5ms`, 'x.yaml:6: expect[1]: stall wants one of .p50, .p99, .max, .count'],
    [`${steps}expect:\n  - stall.p99 < 5`, 'x.yaml:6: expect[1]: stall.p99 wants a unit: ms, s, min'],
    [
      `${steps}expect:\n  - client.errors < 5ms`,
      'x.yaml:6: expect[1]: client.errors is a number without a unit, not ms',
    ],
    [
      `${steps}expect:\n  - client.errors = 0`,
      'x.yaml:6: expect[1]: "client.errors = 0" is not METRIC ==|!=|<=|>=|<|> VALUE, such as stall.p99 < 50ms',
    ],
    [`${steps}expect:\n  - process.exit() == 0`, 'x.yaml:6: expect[1]: "process.exit() == 0" is not METRIC'],
    [`${steps}expect:\n  - { sql: select 1 }`, 'x.yaml:6: expect[1].equals: is missing'],
    [
      `${steps}expect:\n  - 5`,
      'x.yaml:6: expect[1]: expected a text such as client.errors == 0, { sql, equals }, or { ledger: pgbench }, not 5',
    ],
    [
      `${steps}steady:\n  - latency.p99 < 5ms`,
      'x.yaml:6: steady[1]: latency.p99 is known at the end only and belongs to expect; steady can have client.errors',
    ],
    [
      'a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]',
      'x.yaml:1: Excessive alias count',
    ],
  ])('%j', async (text, message) => {
    expect((await complaint(text)).slice(0, message.length)).toBe(message);
  });

  test('all that is wrong is said, in the order of the lines, with what is allowed there', async () => {
    const error = await refusal(
      `${head}engine: { size: huge, writers: 9, color: red }
workload: { script: [tpcb-lik, select-only, nope], clients: many }
steady:
  - client.erors == 0
  - latency.p99 < 5ms
steps:
  - { sleep: soon, check: {} }
  - { scael: { to: large } }
  - scale: { to: tiny, holdBudget: 5, deadlin: 3s }
  - autoscale: { min: large, max: small }
  - { workload: { script: no-such, for: 5 } }
  - 7
expect:
  - stall < 5ms
  - { sql: select 1 }
color: blue
`,
    );
    expect(error.message.split('\n')).toEqual([
      'x.yaml:3: engine.size: expected one of "small"|"medium"|"large"|"xlarge", not "huge"',
      'x.yaml:3: engine.writers: too big: expected number to be <=4, not 9',
      'x.yaml:3: engine: there is no color here; there is size, postgres, provider, writers',
      'x.yaml:4: workload.clients: expected number, received string',
      expect.stringMatching(/^x\.yaml:4: workload\.script\[1\]: .*"tpcb-lik"; did you mean tpcb-like\?$/),
      expect.stringMatching(
        /^x\.yaml:4: workload\.script\[3\]: there is no workload "nope"; there is busy, /,
      ),
      'x.yaml:6: steady[1]: there is no metric client.erors; did you mean client.errors?',
      expect.stringMatching(/^x\.yaml:7: steady\[2\]: latency\.p99 is known at the end only/),
      'x.yaml:9: steps[1].sleep: is not a duration such as 250ms, 5s or 2min, not "soon"',
      'x.yaml:9: steps[1]: a step has one verb, not check and sleep',
      expect.stringMatching(
        /^x\.yaml:10: steps\[2\]: there is no scael here; did you mean scale\? there is /,
      ),
      'x.yaml:11: steps[3].scale.to: expected one of "small"|"medium"|"large"|"xlarge", not "tiny"',
      'x.yaml:11: steps[3].scale.holdBudget: expected a duration such as 250ms, 5s or 2min, not 5',
      expect.stringMatching(
        /^x\.yaml:11: steps\[3\]\.scale: there is no deadlin here; did you mean deadline\?/,
      ),
      'x.yaml:12: steps[4].autoscale: --min large is larger than --max small',
      'x.yaml:13: steps[5].workload.for: expected a duration such as 250ms, 5s or 2min, not 5',
      expect.stringMatching(/^x\.yaml:13: steps\[5\]\.workload\.script: there is no workload "no-such"; /),
      'x.yaml:14: steps[6]: expected object, received number',
      'x.yaml:16: expect[1]: stall wants one of .p50, .p99, .max, .count',
      'x.yaml:17: expect[2].equals: is missing',
      expect.stringMatching(/^x\.yaml:18: there is no color here; there is version, name, /),
    ]);
    expect(error.details).toMatchObject({ file: 'x.yaml', line: 3 });
    const complaints = error.lists.complaints as readonly { path: string }[];
    expect(complaints).toHaveLength(21);
    const of = (path: string): object | undefined => complaints.find((each) => each.path === path);
    expect(of('engine.size')).toEqual({
      ...{ line: 3, path: 'engine.size', allowed: ['small', 'medium', 'large', 'xlarge'] },
      reason: 'expected one of "small"|"medium"|"large"|"xlarge", not "huge"',
    });
    expect(of('engine')).toMatchObject({ allowed: ['size', 'postgres', 'provider', 'writers'] });
    expect(of('steps[2]')).toMatchObject({
      line: 10,
      allowed: expect.arrayContaining(['scale', 'at']) as unknown,
    });
    expect(of('workload.script[1]')).toMatchObject({
      allowed: expect.arrayContaining(['tpcb-like']) as unknown,
    });
    expect(of('steady[1]')).toMatchObject({ allowed: expect.arrayContaining(['client.errors']) as unknown });
  });

  test('keys that come twice do not hide what else is wrong; nor does one mistake of YAML another', async () => {
    expect((await complaint(`${head}name: y\nsteps: [{ sleep: soon }]`)).split('\n')).toEqual([
      'x.yaml:3: not YAML: Map keys must be unique',
      expect.stringMatching(/^x\.yaml:4: steps\[1\]\.sleep: /),
    ]);
    const twice = 'not YAML: Nested mappings are not allowed in compact mappings';
    expect((await complaint(`${head}about: a: b\nengine: c: d`)).split('\n')).toEqual([
      `x.yaml:3: ${twice}`,
      `x.yaml:4: ${twice}`,
    ]);
  });

  test('whatever is in a file, the answer is a scenario or a complaint with a line', async () => {
    const words = fc.constantFrom(
      'version: 1\n',
      'name: x\n',
      'steps:\n',
      '  - ',
      'sleep: 1s',
      '{',
      '}',
      '[',
      ']',
      ':',
      '\n',
      '&a',
      '*a',
      '"',
      "'",
      '!!js',
      'scale',
      'expect:\n',
      '\t',
      'null',
      '? ',
      '%',
    );
    await fc.assert(
      fc.asyncProperty(fc.array(words, { maxLength: 25 }), async (parts) => {
        expect(await complaint(parts.join(''))).toMatch(/^x\.yaml:\d+: |^nothing was wrong/);
      }),
      { numRuns: 500 },
    );
  });
});

describe('what is shipped', () => {
  test('every bundled scenario is read, and says what it is about', async () => {
    const all = await listScenarios();
    expect(all[0]?.id).toBe('live-scale');
    expect(all.length).toBeGreaterThanOrEqual(7);
    for (const { about } of all) expect(about.length).toBeGreaterThan(20);
  });

  test('the JSON Schema is that of the source', async () => {
    const shipped = await readFile(
      new URL('../../playground/schema/scenario.schema.json', import.meta.url),
      'utf8',
    );
    expect(JSON.parse(shipped)).toEqual(scenarioJsonSchema());
  });
});
