/**
 * The workloads there are: the scripts in playground/workloads, which anybody can copy, the probes, and files of the user's.
 * `NAME`, `FILE.sql`, and each with `@WEIGHT`, as pgbench's -b and -f.
 */
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { reasonOf } from '../errors/file.js';
import { DbproxyError } from '../errors/index.js';
import { nearest } from '../suggest.js';
import { PROBES, probeWork } from './probes/index.js';
import { compileScript, type Script } from './script/compile.js';
import { parseScript } from './script/parse.js';
import { ScriptRunner } from './script/runner.js';
import type { Work } from './work.js';

/** From src/workload as from dist/workload. */
const SCRIPTS = fileURLToPath(new URL('../../playground/workloads/', import.meta.url));

/** What the ledger can say about the scripts that are known to it. */
const LEDGERS: Readonly<Record<string, Work['ledger']>> = {
  'tpcb-like': 'all',
  'hot-row': 'all',
  'simple-update': 'accounts',
};

export interface WorkloadListing {
  readonly name: string;
  readonly kind: 'script' | 'probe';
  readonly summary: string;
  /** Of a script. */
  readonly file: string | null;
}

export async function listWorkloads(): Promise<WorkloadListing[]> {
  const names = await bundledScripts();
  const scripts = await Promise.all(
    names.map(async (name): Promise<WorkloadListing> => {
      const file = fileOf(name);
      const { summary } = await readScript(file);
      return { name, kind: 'script', summary, file };
    }),
  );
  const probes = PROBES.map(({ name, summary }): WorkloadListing => ({
    name,
    kind: 'probe',
    summary,
    file: null,
  }));
  return [...scripts, ...probes];
}

/** Throws DBP_WORKLOAD_UNKNOWN, DBP_WORKLOAD_SCRIPT, DBP_USAGE. */
export async function findWorks(choices: readonly string[]): Promise<Work[]> {
  const bundled = await bundledScripts();
  return Promise.all(
    choices.map(async (choice, index) => {
      const { name, weight } = splitWeight(choice);
      const probe = PROBES.find((each) => each.name === name);
      if (probe) return probeWork(probe, weight);
      const isBundled = bundled.includes(name);
      if (!isBundled && !looksLikeFile(name)) throw unknownWorkload(name, bundled);
      const script = await readScript(isBundled ? fileOf(name) : name);
      const ledger = isBundled ? (LEDGERS[name] ?? 'none') : 'none';
      return scriptWork(script, { name, weight, ledger }, `P${index}_`);
    }),
  );
}

function scriptWork(script: Script, known: Pick<Work, 'name' | 'weight' | 'ledger'>, prefix: string): Work {
  return {
    ...known,
    sparesLedger: known.ledger !== 'none' || !script.writesPgbenchTables,
    needsPgbenchTables: script.onPgbenchTables,
    open: (connection, context) => ScriptRunner.open(script, prefix, connection, context),
  };
}

async function readScript(file: string): Promise<Script> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const reason =
      (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : reasonOf(cause as Error);
    throw new DbproxyError('DBP_WORKLOAD_UNKNOWN', { reason: `${file}: ${reason}` }, { cause });
  });
  return compileScript(parseScript(file, text));
}

/** `reads.sql@9`; without a weight it is 1. */
function splitWeight(choice: string): { name: string; weight: number } {
  const at = choice.lastIndexOf('@');
  if (at === -1) return { name: choice, weight: 1 };
  const text = choice.slice(at + 1);
  if (!/^[1-9]\d{0,5}$/.test(text))
    throw new DbproxyError('DBP_USAGE', {
      reason: `the weight in ${choice} is a number from 1 to 999999, not ${text}`,
    });
  return { name: choice.slice(0, at), weight: Number(text) };
}

const looksLikeFile = (name: string): boolean => name.includes('/') || name.endsWith('.sql');
const fileOf = (name: string): string => `${SCRIPTS}${name}.sql`;

async function bundledScripts(): Promise<string[]> {
  const files = await readdir(SCRIPTS);
  return files.flatMap((file) => (file.endsWith('.sql') ? [file.slice(0, -'.sql'.length)] : [])).sort();
}

function unknownWorkload(name: string, scripts: readonly string[]): DbproxyError {
  const known = [...scripts, ...PROBES.map((probe) => probe.name)];
  const meant = nearest(name, known);
  const hint = meant === undefined ? `there is ${known.join(', ')}, or a file` : `did you mean ${meant}?`;
  const reason = `there is no workload "${name}"; ${hint}`;
  return new DbproxyError('DBP_WORKLOAD_UNKNOWN', { reason }, { lists: { known } });
}
