/** What the schema says of a file, in our words. */
import type { z } from 'zod';
import { nearest } from '../../suggest.js';
import { scenarioSchema } from './schema.js';
import type { Path } from './complaints.js';
import type { Source } from './source.js';

export function complainOfShape(issue: z.core.$ZodIssue, source: Source): void {
  const path = issue.path.filter((key): key is string | number => typeof key !== 'symbol');
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(path);
    for (const key of issue.keys)
      source.complainOfKey(path, key, `there is no ${key} here${hint(key, known)}`, known);
    return;
  }
  const branch = issue.code === 'invalid_union' ? bestBranch(issue) : [];
  for (const each of branch) complainOfShape({ ...each, path: [...path, ...each.path] }, source);
  if (branch.length > 0) return;
  source.complain(path, sentence(issue, source.at(path)), allowedBy(issue));
}

function hint(key: string, known: readonly string[]): string {
  const meant = nearest(key, known);
  const there = known.length > 0 ? ` there is ${known.join(', ')}` : '';
  if (meant !== undefined) return `; did you mean ${meant}?${there}`;
  return there === '' ? '' : `;${there}`;
}

/** Of a union whose branches are objects and texts: the one that was meant, if what is there is an object. */
function bestBranch(issue: z.core.$ZodIssueInvalidUnion): readonly z.core.$ZodIssue[] {
  const isOfShape = (issues: readonly z.core.$ZodIssue[]): boolean =>
    issues.every((each) => each.code !== 'invalid_type' || each.path.length > 0);
  const knowsItsKeys = (issues: readonly z.core.$ZodIssue[]): boolean =>
    issues.every(({ code }) => code !== 'unrecognized_keys');
  const fitting = issue.errors.filter(isOfShape);
  const known = fitting.filter(knowsItsKeys);
  const [meant = [], ...others] = known.length > 0 ? known : fitting;
  return others.length === 0 ? meant : [];
}

function sentence(issue: z.core.$ZodIssue, found: unknown): string {
  const text = issue.message
    .replace(/^Invalid (?:input|option): /, '')
    .replace(/^[A-Z]/, (c) => c.toLowerCase());
  const missing = found === undefined;
  if (missing && (issue.code === 'invalid_type' || issue.code === 'invalid_union')) return 'is missing';
  if (missing && issue.code === 'invalid_value') return `is missing; ${text}`;
  const shown = typeof found === 'object' ? '' : `, not ${JSON.stringify(found)}`;
  return /received|, not /.test(text) || issue.code === 'custom' ? text : `${text}${shown}`;
}

const allowedBy = (issue: z.core.$ZodIssue): (string | number)[] =>
  issue.code === 'invalid_value'
    ? issue.values.filter((value) => typeof value === 'string' || typeof value === 'number')
    : [];

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
