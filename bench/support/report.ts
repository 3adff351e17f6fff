/** What every benchmark says about itself, and where its results go. */
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { percentileOf } from '../../src/workload/histogram.js';

export interface Conditions {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGB: number;
  readonly node: string;
  readonly postgres: string;
  readonly tools: Readonly<Record<string, string>>;
}

export const conditions = (postgres: string, tools: Readonly<Record<string, string>>): Conditions => ({
  date: new Date().toISOString().slice(0, 10),
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  cores: availableParallelism(),
  memoryGB: Math.round(totalmem() / 2 ** 30),
  node: process.version,
  postgres,
  tools,
});

export const conditionsLine = ({ date, cpu, cores, memoryGB, node, postgres, tools }: Conditions): string =>
  `${date}; ${cpu}, ${cores} cores, ${memoryGB} GB; Node ${node}; PostgreSQL ${postgres}; ${Object.values(tools).join('; ')}`;

export function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

/** Writes bench/results/<name>.json. */
export async function save(name: string, result: object): Promise<void> {
  const directory = new URL('../results/', import.meta.url);
  await mkdir(directory, { recursive: true });
  await writeFile(new URL(`${name}.json`, directory), `${JSON.stringify(result, null, 2)}\n`);
  process.stderr.write(`written: bench/results/${name}.json\n`);
}

export const median = (values: readonly number[]): number => percentileOf(values, 50) ?? NaN;
export const quantiles = (values: readonly number[]): { p50: number; p99: number; max: number } => ({
  p50: percentileOf(values, 50) ?? NaN,
  p99: percentileOf(values, 99) ?? NaN,
  max: percentileOf(values, 100) ?? NaN,
});
/** `12.3` */
export const ms = (value: number | null): string =>
  value === null || Number.isNaN(value) ? '–' : value.toFixed(1);
