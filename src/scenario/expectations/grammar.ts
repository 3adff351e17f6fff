/**
 * What is expected, as a sentence that a machine can check:
 *
 *   METRIC[.AGGREGATE] OPERATOR VALUE[UNIT]        stall.p99 < 50ms     client.errors == 0     workload.tps >= 380/s
 *
 * A closed grammar: names, one comparison, one number. Nothing is evaluated that was not foreseen.
 */
import { nearest } from '../../suggest.js';
import { asText, UNIT_MS } from '../file/units.js';
import { Unfit } from '../file/complaints.js';
import type { ExpectationFile } from '../file/schema.js';
import { METRICS, type Metric, type Unit } from './metrics.js';

export const OPERATORS = ['==', '!=', '<=', '>=', '<', '>'] as const;
export type Operator = (typeof OPERATORS)[number];

export type Expectation = { readonly text: string; readonly line: number } & (
  | { readonly kind: 'metric'; readonly metric: Metric; readonly operator: Operator; readonly value: number }
  | { readonly kind: 'sql'; readonly sql: string; readonly equals: string | null }
  | { readonly kind: 'ledger' }
);

/** Units that a value may have, by what its metric counts; the number is what one of it comes to. */
const UNITS: Readonly<Record<Unit, Readonly<Record<string, number>>>> = {
  count: { '': 1 },
  rate: { '/s': 1 },
  ms: UNIT_MS,
};
const SHAPE = /^([A-Za-z][\w.-]*)\s*(==|!=|<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)\s*(\/s|[A-Za-z%]+)?$/;

/** Throws Unfit. */
export function parseExpectation(item: ExpectationFile, line: number): Expectation {
  if (typeof item !== 'string') {
    if ('ledger' in item) return { kind: 'ledger', text: 'the ledger is exact', line };
    const equals = asText(item.equals);
    return { kind: 'sql', text: `${item.sql.trim()} gives ${equals}`, line, sql: item.sql, equals };
  }
  const [, name = '', operator, number, unit = ''] = SHAPE.exec(item.trim()) ?? [];
  if (operator === undefined)
    throw new Unfit(`"${item}" is not METRIC ${OPERATORS.join('|')} VALUE, such as stall.p99 < 50ms`);
  const metric = METRICS.get(name);
  if (!metric) throw new Unfit(unknownMetric(name), [...METRICS.keys()]);
  const units = UNITS[metric.unit];
  const factor = units[unit];
  if (factor === undefined) {
    const wanted = Object.keys(units).filter((each) => each !== '');
    throw new Unfit(
      wanted.length === 0
        ? `${name} is a number without a unit, not ${unit}`
        : `${name} wants a unit: ${wanted.join(', ')}`,
      wanted,
    );
  }
  return {
    ...{ kind: 'metric', text: item.trim(), line, metric },
    ...{ operator: operator as Operator, value: Number(number) * factor },
  };
}

function unknownMetric(name: string): string {
  const names = [...METRICS.keys()];
  const aggregates = names
    .filter((each) => each.startsWith(`${name}.`))
    .map((each) => each.slice(name.length + 1));
  if (aggregates.length > 0) return `${name} wants one of .${aggregates.join(', .')}`;
  const meant = nearest(name, names);
  if (meant !== undefined) return `there is no metric ${name}; did you mean ${meant}?`;
  const groups = [...new Set(names.map((each) => each.split('.')[0]))];
  return `there is no metric ${name}; they begin with ${groups.join(', ')} (docs/scenarios.md)`;
}

export function holds(operator: Operator, actual: number, value: number): boolean {
  switch (operator) {
    case '==':
      return actual === value;
    case '!=':
      return actual !== value;
    case '<':
      return actual < value;
    case '<=':
      return actual <= value;
    case '>':
      return actual > value;
    case '>=':
      return actual >= value;
  }
}
