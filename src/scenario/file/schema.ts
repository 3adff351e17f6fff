/**
 * What a scenario file may say. The JSON Schema that editors use (playground/schema/scenario.schema.json) is made from this,
 * and so is every error of a file; descriptions are for both.
 */
import { SCENE_NAMES } from '../../conflict/types.js';
import { z } from 'zod';
import { SIZE_NAMES } from '../../engine/size-names.js';
import { SWITCHOVER_STEPS } from '../../switchover/steps.js';
import { amountOf, DURATION, durationMs, PERCENT, RATE } from './units.js';

const LONGEST_MS = durationMs('1440min');
/** As `workload run --rate`. */
const MAX_RATE = 1_000_000;
const RATE_RANGE = `expected a rate above 0 and up to ${MAX_RATE}/s`;

const duration = (description: string) =>
  z
    .string(`expected a duration such as 250ms, 5s or 2min`)
    .regex(DURATION, 'is not a duration such as 250ms, 5s or 2min')
    .transform(durationMs)
    // What is longer is no bound; and timers end at 24 days.
    .refine((ms) => ms <= LONGEST_MS, 'expected at most 24 hours, 1440min')
    .describe(description);

/** Written as a number, 17.10 would be 17.1. */
const version = (description: string) =>
  z
    .union(
      [z.int(), z.string()],
      'expected a version in quotes, such as "17.10": without them YAML reads a number',
    )
    .transform(String)
    .describe(description);

/** Rules over several keys are judged as well where one of them has a wrong value: all is said at once. */
const isObject = ({ value }: { readonly value: unknown }): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const size = (description: string) => z.enum(SIZE_NAMES).describe(description);

const engine = z
  .strictObject({
    size: size('what the engine may use').default('small'),
    postgres: version('"17", or "17.9"').default('17'),
    provider: z
      .enum(['auto', 'embedded', 'docker'])
      .describe('where PostgreSQL runs; without it $DBPROXY_PROVIDER, or auto')
      .optional(),
    writers: z
      .int()
      .min(1)
      .max(4)
      .describe('engines that all take writes; the load is on the first one')
      .optional(),
  })
  .describe('the engine that the scenario begins with');

const loadShape = {
  script: z
    .union(
      [z.string(), z.array(z.string()).min(1)],
      'expected the name of a workload, a file, or a list of them',
    )
    .describe(
      'a name of `dbproxy workload ls` or a file beside this one; several, each NAME@WEIGHT, are a mixture',
    ),
  clients: z.int().min(1).max(10_000).describe('connections').default(8),
  rate: z
    .union(
      [
        z.number().gt(0, RATE_RANGE).lte(MAX_RATE, RATE_RANGE),
        z
          .string()
          .regex(RATE, 'expected a rate such as 400/s')
          .transform(amountOf)
          .refine((rate) => rate > 0 && rate <= MAX_RATE, RATE_RANGE),
      ],
      'expected a rate such as 400/s',
    )
    .describe('transactions per second that are due; without it each client goes on as soon as it can')
    .optional(),
  arrivals: z.enum(['poisson', 'uniform']).describe('when they are due').optional(),
  protocol: z.enum(['simple', 'extended', 'prepared']).describe('how statements are sent').optional(),
  retries: z.int().min(0).describe('tries again after 40001 and 40P01').optional(),
  seed: z.int().describe('repeats the same arrivals and rows').optional(),
};

const workload = z
  .strictObject({
    ...loadShape,
    scale: z.int().min(1).max(1_000).describe("of pgbench's tables: 100,000 accounts each").default(1),
    warmup: duration('load before the measured time').optional(),
  })
  .describe('the load that runs from before the first step to after the last one, in a process of its own');

const move = {
  holdBudget: duration('longest that one attempt may hold a session').optional(),
  deadline: duration('longest that all attempts together may take').optional(),
  onTimeout: z.enum(['rollback', 'cancel']).describe('at the deadline').optional(),
  unmovable: z.enum(['rollback', 'wait', 'drop']).describe('a session that cannot move').optional(),
};

const scale = z
  .strictObject({
    to: size('the size to move every session to'),
    strategy: z
      .enum(['standby', 'resize'])
      .describe('resize: the engine itself gets more, nothing moves')
      .optional(),
    ...move,
  })
  .describe('like `dbproxy scale`');

const patch = z
  .strictObject({
    to: version('the version to move every session to').optional(),
    self: z.literal(true).describe('replace the processes of dbproxy itself').optional(),
    strategy: z.enum(['standby', 'in-place']).optional(),
    size: size('move to this size in the same step').optional(),
    ...move,
  })
  .refine(({ to, self }) => (to === undefined) !== (self === undefined), {
    error: 'wants either to or self',
    when: isObject,
  })
  .describe('like `dbproxy patch`');

const check = z
  .strictObject({ within: duration('how long a session may take to become movable').optional() })
  .describe('like `dbproxy check`');

const until = z
  .strictObject({ size: size('an engine of that size serves, and no operation is under way') })
  .describe('waits for it; the timeout of the step is the bound');

const percent = (description: string) =>
  z
    .string('expected a percentage such as 80%')
    .regex(PERCENT, 'is not a percentage such as 80%')
    .transform(amountOf)
    .describe(description);
const threshold = (description: string) => z.number().min(0).describe(description);

export const autoscaleSchema = z
  .strictObject({
    off: z.literal(true).describe('the size stays as it is').optional(),
    min: size('the smallest size').optional(),
    max: size('the largest size').optional(),
    cpuAbove: percent('a larger size when more of its cpus is used').optional(),
    cpuBelow: percent('a smaller size when less is used, and nothing else stands against it').optional(),
    activeAbove: threshold('a larger size when more sessions are active for each of its cpus').optional(),
    queueAbove: threshold('a larger size when more sessions wait for a cpu').optional(),
    for: duration('how long it has to be so, all the time').optional(),
    cooldown: duration('from one change of size to the next').optional(),
  })
  .refine(({ off, ...policy }) => off === undefined || Object.keys(policy).length === 0, {
    error: 'off goes alone',
    when: isObject,
  })
  .describe('like `dbproxy autoscale on`, or off; what it changes is judged like the moves of the steps');

const extraLoad = z
  .strictObject({
    ...loadShape,
    for: duration('how long it runs; the step ends with it'),
    until: until.describe('ends it sooner; that it does not come to it is a failure').optional(),
  })
  .describe('another load beside the one of the scenario');

const fault = z
  .strictObject({
    kill: z
      .enum(['engine', 'standby', 'proxy'])
      .describe('kill -9: the primary, the engine that is being moved to, the proxy'),
    at: z
      .enum(SWITCHOVER_STEPS)
      .describe('when the operation of this step has come to that step of its own')
      .optional(),
  })
  .describe('something dies: at once, or in the middle of a scale or patch');

const conflict = z
  .strictObject({
    only: z.array(z.enum(SCENE_NAMES)).min(1).describe('these kinds of conflict; all without it').optional(),
    clients: z.int().min(2).max(200).describe('of the hot row, over all writers').optional(),
    rounds: z.int().min(1).max(10_000).describe('commits that each of them is to come to').optional(),
  })
  .describe('like `dbproxy conflict`; wants engine: { writers: 2 } or more');

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);

const VERBS = [
  ...(['scale', 'patch', 'autoscale', 'check', 'workload', 'until', 'sleep', 'sql', 'fault'] as const),
  'conflict',
] as const;
export type Verb = (typeof VERBS)[number];

const step = z
  .strictObject({
    name: z.string().min(1).describe('what people see; the verb and its target without it').optional(),
    at: duration('not before this time, counted from the first step').optional(),
    timeout: duration('longest that the step may take').default(durationMs('5min')),
    outcome: z
      .enum(['completed', 'rolled-back', 'movable', 'unmovable'])
      .describe('what scale, patch (completed) and check (movable) have to come to')
      .optional(),
    scale: scale.optional(),
    patch: patch.optional(),
    autoscale: autoscaleSchema.optional(),
    until: until.optional(),
    check: check.optional(),
    workload: extraLoad.optional(),
    sleep: duration('lets time pass').optional(),
    sql: z.string().min(1).describe('runs statements on a session of the scenario').optional(),
    session: z
      .string()
      .min(1)
      .describe('which one, by a name of your own; it stays open to the end')
      .optional(),
    equals: scalar.describe('what the first column of the first row has to be').optional(),
    fails: z.string().length(5).describe('the SQLSTATE that the statement has to fail with').optional(),
    fault: fault.optional(),
    conflict: conflict.optional(),
  })
  .superRefine(
    (given, context) => {
      const verbs = VERBS.filter((verb) => given[verb] !== undefined);
      const operations = verbs.filter((verb) => verb !== 'fault');
      const complain = (message: string): void => context.addIssue({ code: 'custom', message });
      // A verb that is written wrong is there, too.
      const misnamed = context.issues.some(({ code }) => code === 'unrecognized_keys');
      if (verbs.length === 0 && !misnamed) complain(`a step has one of ${VERBS.join(', ')}`);
      if (operations.length > 1) complain(`a step has one verb, not ${operations.join(' and ')}`);
      const moves = given.scale !== undefined || given.patch !== undefined;
      if (given.fault && operations.length > 0 && !moves)
        complain('fault goes alone, or with scale or patch');
      if (given.fault?.at !== undefined && !moves)
        complain('fault.at belongs to a scale or patch of the same step');
      if (given.fault && moves && given.fault.at === undefined)
        complain('fault wants at: the step of the operation');
      if (given.sql === undefined) {
        for (const key of ['session', 'equals', 'fails'] as const)
          if (given[key] !== undefined) complain(`${key} belongs to sql`);
      }
      const outcomes: readonly string[] = moves
        ? ['completed', 'rolled-back']
        : given.check
          ? ['movable', 'unmovable']
          : [];
      if (given.outcome !== undefined && !outcomes.includes(given.outcome))
        complain(`outcome ${given.outcome} does not go with ${operations.join('') || 'fault'}`);
    },
    { when: isObject },
  )
  .describe('one step, named like the verb of the command line');

const metric = z.string().describe('METRIC[.AGGREGATE] OPERATOR VALUE[UNIT], such as `stall.p99 < 50ms`');
const query = z
  .strictObject({ sql: z.string().min(1), equals: scalar })
  .describe('a query and what the first column of its first row has to be');
const ledger = z
  .strictObject({ ledger: z.literal('pgbench') })
  .describe('every acknowledged transaction is there, once, and the sums of all tables agree');

export const scenarioSchema = z
  .strictObject({
    version: z.literal(1, 'this dbproxy reads version: 1'),
    name: z.string().min(1).describe('what it shows, in a few words'),
    about: z.string().describe('more words, for `demo ls`').optional(),
    timeout: duration('longest that all of it may take').default(durationMs('10min')),
    engine: engine.prefault({}),
    workload: workload.optional(),
    steady: z
      .array(z.union([metric, query], 'expected a text such as client.errors == 0, or { sql, equals }'))
      .describe('holds before the first step and after the last one')
      .default([]),
    steps: z.array(step).min(1),
    expect: z
      .array(
        z.union(
          [metric, query, ledger],
          'expected a text such as client.errors == 0, { sql, equals }, or { ledger: pgbench }',
        ),
      )
      .describe('holds at the end')
      .default([]),
  })
  .superRefine(({ engine: { writers = 1 }, steps }, context) => {
    const index = steps.findIndex((each) => each.conflict !== undefined);
    if (index === -1 || writers > 1) return;
    const message = 'it takes two to have a conflict: engine: { writers: 2 }';
    context.addIssue({ code: 'custom', path: ['steps', index, 'conflict'], message });
  })
  .describe('a scripted demonstration; docs/scenarios.md explains it');

export type ScenarioFile = z.output<typeof scenarioSchema>;
export type StepFile = ScenarioFile['steps'][number];
export type ExpectationFile = ScenarioFile['expect'][number];
export type LoadFile = Omit<z.output<typeof extraLoad>, 'for'>;
export type AutoscaleFile = NonNullable<StepFile['autoscale']>;
export type MoveFile = Pick<NonNullable<StepFile['scale']>, keyof typeof move>;

export const verbOf = (step: StepFile): Verb => VERBS.find((verb) => step[verb] !== undefined) ?? 'fault';

/** For editors: a step with none or two of the verbs is wrong there, too. */
export function scenarioJsonSchema(): object {
  const schema = z.toJSONSchema(scenarioSchema, {
    io: 'input',
    override: ({ zodSchema, jsonSchema }) => {
      if (zodSchema === (step as unknown)) jsonSchema.anyOf = VERBS.map((verb) => ({ required: [verb] }));
    },
  });
  return { ...schema, title: 'dbproxy scenario' };
}
