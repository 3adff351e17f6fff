/** Scenario files: what is read, and what is wrong with one, with its line. Nothing is started. */
import fc from 'fast-check';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseScenario, type Scenario } from '../../src/scenario/file/read.js';
import { scenarioJsonSchema } from '../../src/scenario/file/schema.js';
import { listScenarios } from '../../src/scenario/index.js';

const parse = (text: string): Promise<Scenario> => parseScenario('x.yaml', text);
const complaint = async (text: string): Promise<string> => {
  const error: unknown = await parse(text).then(
    () => new Error('nothing was wrong with it'),
    (thrown: unknown) => thrown,
  );
  return (error as Error).message;
};
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
    ['version: 1\nname: a\nname: b\n', 'x.yaml:3: not YAML: Map keys must be unique'],
    ['version: 1\n{ name: a }: 2\n', 'x.yaml:2: a key is a word, no list or map'],
    ['name: x\nsteps: []', 'x.yaml:1: version: '],
    [`version: 2\nname: x\nsteps: [{ sleep: 1s }]`, 'x.yaml:1: version: this dbproxy reads version: 1'],
    [`${head}`, 'x.yaml:1: steps: is missing'],
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
      'x.yaml:7: there is no metric client.erors; did you mean client.errors?',
    ],
    [`${steps}expect:\n  - stall < 5ms`, 'x.yaml:6: stall wants one of .p50, .p99, .max, .count'],
    [`${steps}expect:\n  - stall.p99 < 5`, 'x.yaml:6: stall.p99 wants a unit: ms, s, min'],
    [
      `${steps}expect:\n  - client.errors < 5ms`,
      'x.yaml:6: client.errors is a number without a unit, not ms',
    ],
    [
      `${steps}expect:\n  - client.errors = 0`,
      'x.yaml:6: "client.errors = 0" is not METRIC ==|!=|<=|>=|<|> VALUE, such as stall.p99 < 50ms',
    ],
    [`${steps}expect:\n  - process.exit() == 0`, 'x.yaml:6: "process.exit() == 0" is not METRIC'],
    [`${steps}expect:\n  - { sql: select 1 }`, 'x.yaml:6: expect[1]'],
    [
      `${steps}steady:\n  - latency.p99 < 5ms`,
      'x.yaml:6: latency.p99 is known at the end only and belongs to expect; steady can have client.errors',
    ],
    [
      'a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]',
      'x.yaml:1: Excessive alias count',
    ],
  ])('%j', async (text, message) => {
    expect((await complaint(text)).slice(0, message.length)).toBe(message);
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
