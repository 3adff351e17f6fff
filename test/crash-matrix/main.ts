/**
 * `npm run crash-matrix -- [--operation scale,…] [--step …] [--victim …] [--fault kill,stop,full] [--seed N] [--fresh] [--table] [--write]`
 *
 * Every operation, stopped at every step of its, and everybody who is there hit. One line per cell; then the tables of all cells on
 * record (`bench/results/crash-matrix.ndjson`, the last result of each). `--seed`: in an order of its own, as one instance serves many
 * cells. `--fresh`: an instance for each. `--table`: runs nothing. `--write`: the tables become part of docs/reliability.md. Exit
 * code 1: a violation.
 */
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { NEWER, OLDER } from '../support/versions.js';
import { cellsOf, inOrderOf } from './cells.js';
import { nameOf, runCell, type Cell, type CellResult } from './cell.js';
import { whyNoMount } from './disk.js';
import { Ground } from './ground.js';
import { OPERATIONS } from './operations.js';
import { lineOf, tablesOf } from './table.js';

const ROOT = new URL('../../', import.meta.url);
const RESULTS = new URL('bench/results/crash-matrix.ndjson', ROOT);
const PAGE = fileURLToPath(new URL('docs/reliability.md', ROOT));
/** What stands between the two comments, which stay. */
const TABLES = /(?<=<!-- begin: crash-matrix[^>]*-->)[^]*?(?=<!-- end: crash-matrix -->)/;

type OnRecord = CellResult & { readonly at: string };

const { values } = parseArgs({
  options: {
    operation: { type: 'string' },
    step: { type: 'string' },
    victim: { type: 'string' },
    fault: { type: 'string' },
    seed: { type: 'string' },
    fresh: { type: 'boolean', default: false },
    table: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const print = (text: string): void => void process.stdout.write(`${text}\n`);
let isStopped = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => (isStopped = true));

if (!values.table) await run();
const results = await onRecord();
const tables = tablesOf(results);
if (!values.write) print(`\n${tables}`);
else await writePage(results, tables);

async function run(): Promise<void> {
  const shuffled = inOrderOf(cellsOf(values), values.seed);
  const isFull = ({ fault }: Cell): boolean => fault === 'full';
  const noMount = shuffled.some(isFull) ? await whyNoMount() : null;
  // Those have a ground of their own.
  const full = noMount === null ? shuffled.filter(isFull) : [];
  const cells = [...shuffled.filter((cell) => !isFull(cell)), ...full];
  if (noMount !== null) print(`not run, no disk can be mounted (${noMount}): cells with a full disk`);
  await mkdir(new URL('.', RESULTS), { recursive: true });
  let ground: Ground | null = null;
  let violations = 0;
  for (const [at, cell] of cells.entries()) {
    if (isStopped) break;
    if (ground?.hasDisks === false && isFull(cell)) {
      await ground.close();
      ground = null;
    }
    ground ??= await Ground.open(isFull(cell));
    const operation = OPERATIONS.find(({ name }) => name === cell.operation);
    if (!operation) continue;
    let result = await runCell(ground, operation, cell);
    // What is not as it should be is no place for the next one.
    if (values.fresh || isStopped || at === cells.length - 1 || result.violations.length > 0) {
      const left = await ground.close().catch((error: unknown) => [String(error)]);
      result = { ...result, violations: [...result.violations, ...left] };
      ground = null;
    }
    violations += result.violations.length;
    await appendFile(RESULTS, `${JSON.stringify({ ...result, at: new Date().toISOString() })}\n`);
    print(`${at + 1}/${cells.length} ${lineOf(result)}`);
  }
  await ground?.close();
  print(`${violations} violations`);
  if (violations > 0) process.exitCode = 1;
}

/** The last result of each cell. */
async function onRecord(): Promise<OnRecord[]> {
  const text = await readFile(RESULTS, 'utf8').catch(() => '');
  const all = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as OnRecord);
  return [...new Map(all.map((result) => [nameOf(result), result])).values()];
}

async function writePage(of: readonly OnRecord[], text: string): Promise<void> {
  const days = [...new Set(of.map(({ at }) => at.slice(0, 10)))].sort();
  const when = [...new Set([days.at(0), days.at(-1)])].join(' to ');
  const machine = `${cpus().length} cores; Node ${process.versions.node}; PostgreSQL ${OLDER} and ${NEWER}`;
  const sum = (count: keyof Pick<CellResult, 'acknowledged' | 'failed' | 'unknown'>): number =>
    of.reduce((total, cell) => total + cell[count], 0);
  const violations = of.reduce((total, cell) => total + cell.violations.length, 0);
  const counts = `${of.length} cells; ${sum('acknowledged')} statements acknowledged, ${sum('failed')} failed, ${sum('unknown')} unknown; **${violations} violations**.`;
  const page = (await readFile(PAGE, 'utf8')).replace(
    TABLES,
    () => `\n\n${when}; ${machine}. ${counts}\n\n${text}\n\n`,
  );
  await writeFile(PAGE, await format(page, { ...(await resolveConfig(PAGE)), filepath: PAGE }));
}
