/**
 * Reads a scenario file. Everything that can be known to be wrong is said before anything is started, with file and line:
 * YAML, shape, names of metrics, names of workloads.
 *
 *   text ── yaml ──▶ document with lines ── schema ──▶ ScenarioFile ── expectations ──▶ Scenario
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { isMap, isPair, isScalar, LineCounter, parseDocument, type Document } from 'yaml';
import type { z } from 'zod';
import { changed, DEFAULT_POLICY } from '../../control/autoscale/policy.js';
import { DbproxyError } from '../../errors/index.js';
import { nearest } from '../../suggest.js';
import { findWorks } from '../../workload/index.js';
import { parseExpectation, type Expectation } from '../expectations/grammar.js';
import { assertLive } from '../expectations/metrics.js';
import { policyChangeOf } from './policy-change.js';
import { scenarioSchema, verbOf, type ScenarioFile, type StepFile, type Verb } from './schema.js';

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

type Path = readonly (string | number)[];

/** Throws DBP_SCENARIO_INVALID. */
export async function readScenario(file: string): Promise<Scenario> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw invalid(file, 1, missing ? 'there is no such file' : String(cause));
  });
  return parseScenario(file, text);
}

export async function parseScenario(file: string, text: string): Promise<Scenario> {
  const source = new Source(file, text);
  const parsed = scenarioSchema.safeParse(source.value);
  if (!parsed.success) throw source.complaint(parsed.error.issues[0] as z.core.$ZodIssue);
  const given = resolveScripts(parsed.data, dirname(resolve(file)));
  const expectations = (key: 'steady' | 'expect'): Expectation[] =>
    given[key].map((item, index) =>
      parseExpectation(item, source.lineOf([key, index]), (line, reason) => invalid(file, line, reason)),
    );
  const steady = expectations('steady');
  for (const each of steady) assertLive(each, (line, reason) => invalid(file, line, reason));
  await assertWorkloadsExist(given, source);
  assertPolicies(given, source);
  const steps = given.steps.map((step, index) => ({
    ...step,
    ...{ verb: verbOf(step), line: source.lineOf(['steps', index]) },
  }));
  return { ...given, file, steps, steady, expect: expectations('expect') };
}

const invalid = (file: string, line: number, reason: string, cause?: unknown): DbproxyError =>
  new DbproxyError('DBP_SCENARIO_INVALID', { file, line, reason }, { cause });

/** The document and where its parts stand. */
class Source {
  readonly #file: string;
  readonly #lines = new LineCounter();
  readonly #document: Document;
  readonly value: unknown;

  constructor(file: string, text: string) {
    this.#file = file;
    this.#document = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      stringKeys: true,
    });
    const [first] = [...this.#document.errors, ...this.#document.warnings];
    if (first) {
      const reason =
        first.code === 'NON_STRING_KEY' ? 'a key is a word, no list or map' : `not YAML: ${first.message}`;
      throw invalid(file, this.#lines.linePos(first.pos[0]).line, reason);
    }
    if (!isMap(this.#document.contents)) throw invalid(file, 1, 'not a scenario: it begins with version: 1');
    try {
      this.value = this.#document.toJS();
    } catch (cause) {
      // Aliases that unfold to more than anybody has written.
      throw invalid(file, 1, (cause as Error).message, cause);
    }
  }

  /** Of what stands at the path, or of the nearest thing around it. */
  lineOf(path: Path): number {
    for (let length = path.length; length > 0; length--) {
      const key = path[length - 1];
      const parent: unknown =
        this.#document.getIn(path.slice(0, length - 1), true) ?? this.#document.contents;
      const around = length === 1 ? this.#document.contents : parent;
      const pair = isMap(around)
        ? around.items.find((each) => isPair(each) && isScalar(each.key) && each.key.value === key)
        : undefined;
      const node: unknown = pair?.key ?? this.#document.getIn(path.slice(0, length), true);
      const offset = (node as { range?: [number, number, number] | null } | undefined)?.range?.[0];
      if (offset !== undefined) return this.#lines.linePos(offset).line;
    }
    return 1;
  }

  invalid(path: Path, reason: string): DbproxyError {
    return invalid(this.#file, this.lineOf(path), `${where(path)}${reason}`);
  }

  complaint(issue: z.core.$ZodIssue): DbproxyError {
    const path = issue.path.filter((key): key is string | number => typeof key !== 'symbol');
    const at = where(path);
    if (issue.code === 'unrecognized_keys') {
      const [unknown = ''] = issue.keys;
      const hint = this.#hint(path, unknown);
      return invalid(this.#file, this.lineOf([...path, unknown]), `${at}there is no ${unknown} here${hint}`);
    }
    const [branch] = issue.code === 'invalid_union' ? bestBranch(issue) : [];
    if (branch) return this.complaint({ ...branch, path: [...path, ...branch.path] });
    return this.invalid(path, sentence(issue, this.#document.getIn(path)));
  }

  #hint(path: Path, unknown: string): string {
    const known = keysAt(path);
    const meant = nearest(unknown, known);
    if (meant !== undefined) return `; did you mean ${meant}?`;
    return known.length > 0 ? `; there is ${known.join(', ')}` : '';
  }
}

/** Of a union whose branches are objects and texts: the one that was meant, if what is there is an object. */
function bestBranch(issue: z.core.$ZodIssueInvalidUnion): readonly z.core.$ZodIssue[] {
  const isOfShape = (issues: readonly z.core.$ZodIssue[]): boolean =>
    issues.every((each) => each.code !== 'invalid_type' || each.path.length > 0);
  const fitting = issue.errors.filter(isOfShape);
  return fitting.length === 1 ? (fitting[0] ?? []) : [];
}

/** `steps[2].scale: ` */
const where = (path: Path): string => {
  const text = path.reduce<string>(
    (all, key) => (typeof key === 'number' ? `${all}[${key + 1}]` : all === '' ? key : `${all}.${key}`),
    '',
  );
  return text === '' ? '' : `${text}: `;
};

function sentence(issue: z.core.$ZodIssue, found: unknown): string {
  const missing = issue.code === 'invalid_type' && found === undefined;
  if (missing) return 'is missing';
  const text = issue.message
    .replace(/^Invalid (?:input|option): /, '')
    .replace(/^[A-Z]/, (c) => c.toLowerCase());
  const shown = typeof found === 'object' ? '' : `, not ${JSON.stringify(found)}`;
  return /received|, not /.test(text) || issue.code === 'custom' ? text : `${text}${shown}`;
}

/** The keys that the schema knows at a path. */
function keysAt(path: Path): string[] {
  let schema: unknown = scenarioSchema;
  for (const key of path) {
    const { shape, element } = unwrap(schema) as { shape?: Record<string, unknown>; element?: unknown };
    schema = typeof key === 'number' ? element : shape?.[key];
  }
  const { shape } = (unwrap(schema) ?? {}) as { shape?: Record<string, unknown> };
  return Object.keys(shape ?? {});
}

/** Without its default, its `optional` and its transformation. */
function unwrap(schema: unknown): unknown {
  let current = schema as { def?: { innerType?: unknown; in?: unknown } } | undefined;
  while (current?.def) {
    const inner = current.def.innerType ?? current.def.in;
    if (inner === undefined) return current;
    current = inner as typeof current;
  }
  return current;
}

/** Files of workloads stand beside the scenario, wherever it is run from. */
function resolveScripts(given: ScenarioFile, directory: string): ScenarioFile {
  const resolved = (script: string | string[]): string | string[] =>
    typeof script === 'string' ? resolveOne(script) : script.map(resolveOne);
  const resolveOne = (script: string): string =>
    /\.sql(?:@\d+)?$|\//.test(script) ? resolve(directory, script) : script;
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

/** Each changes what the one before has left. */
function assertPolicies({ steps }: ScenarioFile, source: Source): void {
  let policy = DEFAULT_POLICY;
  for (const [index, { autoscale }] of steps.entries()) {
    if (!autoscale) continue;
    try {
      policy = changed(policy, policyChangeOf(autoscale));
    } catch (error) {
      throw source.invalid(['steps', index, 'autoscale'], (error as Error).message);
    }
  }
}

async function assertWorkloadsExist(given: ScenarioFile, source: Source): Promise<void> {
  const scripts: [string | string[] | undefined, Path][] = [
    [given.workload?.script, ['workload', 'script']],
    ...given.steps.map((step, index): [string | string[] | undefined, Path] => [
      step.workload?.script,
      ['steps', index, 'workload', 'script'],
    ]),
  ];
  for (const [script, path] of scripts) {
    if (script === undefined) continue;
    try {
      await findWorks(typeof script === 'string' ? [script] : script);
    } catch (error) {
      const known = error instanceof DbproxyError && error.code !== 'DBP_WORKLOAD_SCRIPT';
      if (known) throw source.invalid(path, error.message);
      throw error;
    }
  }
}
