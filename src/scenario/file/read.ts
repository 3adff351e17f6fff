/**
 * Reads a scenario file. Everything that can be known to be wrong is said before anything is started, with file and line, all of it:
 * YAML, shape, names of metrics, names of workloads.
 *
 *   text ── yaml ──▶ document with lines ── schema ──▶ ScenarioFile ── expectations ──▶ Scenario
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { changed, DEFAULT_POLICY } from '../../control/autoscale/policy.js';
import { reasonOf } from '../../errors/file.js';
import { DbproxyError } from '../../errors/index.js';
import { findWorks } from '../../workload/index.js';
import { parseExpectation, type Expectation } from '../expectations/grammar.js';
import { assertLive } from '../expectations/metrics.js';
import { Complaints, Unfit, type Path } from './complaints.js';
import { policyChangeOf } from './policy-change.js';
import {
  autoscaleSchema,
  scenarioSchema,
  verbOf,
  type ScenarioFile,
  type StepFile,
  type Verb,
} from './schema.js';
import { complainOfShape } from './shape.js';
import { Source } from './source.js';

export interface Step extends StepFile {
  readonly verb: Verb;
  readonly line: number;
}

export interface Scenario extends Omit<ScenarioFile, 'steps' | 'steady' | 'expect'> {
  /** As it was given. */
  readonly file: string;
  readonly steps: readonly Step[];
  readonly steady: readonly Expectation[];
  readonly expect: readonly Expectation[];
}

/** Throws DBP_SCENARIO_INVALID; DBP_WORKLOAD_SCRIPT, when that is all that is wrong. */
export async function readScenario(file: string): Promise<Scenario> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    const complaints = new Complaints(file);
    complaints.add(1, [], missing ? 'there is no such file' : reasonOf(cause as Error));
    complaints.throwAny(cause);
    throw cause;
  });
  return parseScenario(file, text);
}

export async function parseScenario(file: string, text: string): Promise<Scenario> {
  const complaints = new Complaints(file);
  const source = new Source(text, complaints);
  const directory = dirname(resolve(file));
  const parsed = scenarioSchema.safeParse(source.value);
  for (const issue of parsed.error?.issues ?? []) complainOfShape(issue, source);
  // Also of a file whose shape is wrong elsewhere.
  const unreadable = await judgeScripts(source, directory);
  judgeExpectations(source);
  judgePolicies(source);
  complaints.throwAny(parsed.error);
  if (unreadable) throw unreadable;
  if (!parsed.success) throw parsed.error;
  const given = resolveScripts(parsed.data, directory);
  const expectations = (key: 'steady' | 'expect'): Expectation[] =>
    given[key].map((item, index) => parseExpectation(item, source.lineOf([key, index])));
  const steps = given.steps.map((step, index) => ({
    ...step,
    ...{ verb: verbOf(step), line: source.lineOf(['steps', index]) },
  }));
  return { ...given, file, steps, steady: expectations('steady'), expect: expectations('expect') };
}

/** Files of workloads stand beside the scenario, wherever it is run from. */
const resolveOne = (script: string, directory: string): string =>
  /\.sql(?:@\d+)?$|\//.test(script) ? resolve(directory, script) : script;

function resolveScripts(given: ScenarioFile, directory: string): ScenarioFile {
  const resolved = (script: string | string[]): string | string[] =>
    typeof script === 'string'
      ? resolveOne(script, directory)
      : script.map((each) => resolveOne(each, directory));
  const { workload } = given;
  return {
    ...given,
    ...(workload ? { workload: { ...workload, script: resolved(workload.script) } } : {}),
    steps: given.steps.map((step) =>
      step.workload
        ? { ...step, workload: { ...step.workload, script: resolved(step.workload.script) } }
        : step,
    ),
  };
}

/** Values of the file as they stand there; whatever they are. */
const member = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
const items = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

function judgeExpectations(source: Source): void {
  for (const key of ['steady', 'expect'] as const) {
    for (const [index, item] of items(member(source.value, key)).entries()) {
      if (typeof item !== 'string') continue;
      try {
        const expectation = parseExpectation(item, source.lineOf([key, index]));
        if (key === 'steady') assertLive(expectation);
      } catch (error) {
        if (!(error instanceof Unfit)) throw error;
        source.complain([key, index], error.message, error.allowed);
      }
    }
  }
}

/** Each changes what the one before has left. */
function judgePolicies(source: Source): void {
  let policy = DEFAULT_POLICY;
  for (const [index, step] of items(member(source.value, 'steps')).entries()) {
    const autoscale = autoscaleSchema.safeParse(member(step, 'autoscale'));
    if (!autoscale.success) continue;
    try {
      policy = changed(policy, policyChangeOf(autoscale.data));
    } catch (error) {
      source.complain(['steps', index, 'autoscale'], (error as Error).message);
    }
  }
}

/** The first mistake in a script that is there; it has a place of its own. */
async function judgeScripts(source: Source, directory: string): Promise<DbproxyError | null> {
  const steps = items(member(source.value, 'steps'));
  const loads: [unknown, Path][] = [
    [member(source.value, 'workload'), ['workload', 'script']],
    ...steps.map((step, index): [unknown, Path] => [
      member(step, 'workload'),
      ['steps', index, 'workload', 'script'],
    ]),
  ];
  const scripts = loads.flatMap(([load, path]): [unknown, Path][] => {
    const script = member(load, 'script');
    return Array.isArray(script)
      ? script.map((each: unknown, index): [unknown, Path] => [each, [...path, index]])
      : [[script, path]];
  });
  let unreadable: DbproxyError | null = null;
  for (const [script, path] of scripts) {
    if (typeof script !== 'string') continue;
    try {
      await findWorks([resolveOne(script, directory)]);
    } catch (error) {
      if (!(error instanceof DbproxyError)) throw error;
      if (error.code === 'DBP_WORKLOAD_SCRIPT') unreadable ??= error;
      else source.complain(path, error.message, error.lists.known as readonly string[] | undefined);
    }
  }
  return unreadable;
}
