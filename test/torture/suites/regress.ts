/**
 * PostgreSQL's own regression SQL files, in the order of its parallel_schedule, one after the other. What the same psql prints
 * straight and tortured is compared; the expected files are of another major version than the engine and are not used.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Leg } from '../leg.js';
import { sourcePackage } from '../packages.js';
import type { Outcomes, Suite } from '../suites.js';
import { known } from './regress-known.js';

const VERSION = '15.18-0+deb12u1';
const FILE_LIMIT_MS = 180_000;
/** Of all files of one leg, ms. */
const LEG_LIMIT_MS = 1_500_000;
const DATABASE = 'regression';

/** Numbers that say nothing: portals and OIDs are numbered by what the backend or the cluster did before. */
const normalise = (text: string): string =>
  text
    .replace(/<unnamed portal \d+>/g, '<unnamed portal N>')
    .replace(/pg_temp_\d+/g, 'pg_temp_N')
    .replace(/pg_toast_\d+/g, 'pg_toast_N');

export const regress: Suite = {
  name: 'regress',
  version: `postgresql-15 ${VERSION}`,
  probability: 0.1,
  run: async (leg) => {
    const source = join(sourcePackage('postgresql-15', VERSION), 'src/test/regress');
    const settings = ['lc_messages', 'lc_monetary', 'lc_numeric', 'lc_time'].map((name) => `${name} to 'C'`);
    await leg.administer('postgres', `create database ${DATABASE} template template0`);
    const alter = [...settings, `bytea_output to 'hex'`];
    await leg.administer('postgres', ...alter.map((set) => `alter database ${DATABASE} set ${set}`));
    const outcomes = new Map<string, string>();
    const endMs = performance.now() + LEG_LIMIT_MS;
    for (const file of schedule(source)) {
      const late = performance.now() > endMs;
      outcomes.set(file, late ? 'not run within the bound\n' : normalise(await runFile(leg, source, file)));
    }
    return outcomes satisfies Outcomes;
  },
  known,
};

const schedule = (source: string): string[] =>
  readFileSync(join(source, 'parallel_schedule'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('test:'))
    .flatMap((line) => line.slice('test:'.length).trim().split(/\s+/));

const runFile = async (leg: Leg, source: string, file: string): Promise<string> => {
  const directory = mkdtempSync(join(tmpdir(), 'regress-'));
  const input = openSync(join(source, 'sql', `${file}.sql`), 'r');
  const output = openSync(join(directory, 'out'), 'w');
  const variables = ['HIDE_TABLEAM=on', 'HIDE_TOAST_COMPRESSION=on'].flatMap((each) => ['-v', each]);
  const psql = spawn('psql', ['-X', '-a', '-q', '-d', DATABASE, ...variables], {
    cwd: source,
    stdio: [input, output, output],
    timeout: FILE_LIMIT_MS,
    env: {
      ...process.env,
      ...leg.environment,
      PGTZ: 'PST8PDT',
      PGDATESTYLE: 'Postgres, MDY',
      PG_ABS_SRCDIR: source,
      // regress.so is not in a package: what needs its C functions fails alike.
      PG_LIBDIR: '/nonexistent',
      PG_DLSUFFIX: '.so',
      PG_ABS_BUILDDIR: directory,
    },
  });
  const [code, signal] = (await once(psql, 'exit')) as [number | null, string | null];
  closeSync(input);
  closeSync(output);
  const text = readFileSync(join(directory, 'out'), 'latin1').replaceAll(directory, 'BUILDDIR');
  rmSync(directory, { recursive: true });
  return `${text}exit ${code ?? signal}\n`;
};
