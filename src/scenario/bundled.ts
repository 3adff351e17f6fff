/** The scenarios that come with dbproxy (playground/scenarios), by the name of their file; and the one to begin with. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join, relative, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onFile } from '../errors/file.js';
import { DbproxyError } from '../errors/index.js';
import { nearest } from '../suggest.js';
import { readScenario, type Scenario } from './file/read.js';

/** From src/scenario as from dist/scenario. */
const PLAYGROUND = fileURLToPath(new URL('../../playground/', import.meta.url));
const SCENARIOS = join(PLAYGROUND, 'scenarios');
const SCHEMA = join(PLAYGROUND, 'schema', 'scenario.schema.json');

/** Played when no other is named, and copied by `demo init`. */
export const FIRST_SCENARIO = 'live-scale';

export interface ScenarioListing {
  /** As `demo run` takes it. */
  readonly id: string;
  readonly name: string;
  readonly about: string;
  readonly file: string;
}

export async function listScenarios(): Promise<ScenarioListing[]> {
  const ids = await bundledIds();
  return Promise.all(
    ids.map(async (id) => {
      const { name, about = '', file } = await readScenario(fileOf(id));
      return { id, name, about, file };
    }),
  );
}

/** A bundled one by its name, or a file. Throws DBP_SCENARIO_UNKNOWN, DBP_SCENARIO_INVALID. */
export async function findScenario(name: string): Promise<Scenario> {
  if (/[/\\]|\.ya?ml$/.test(name)) return readScenario(name);
  const ids = await bundledIds();
  if (ids.includes(name)) return readScenario(fileOf(name));
  const meant = nearest(name, ids);
  const hint = meant === undefined ? `there is ${ids.join(', ')}, or a file` : `did you mean ${meant}?`;
  throw new DbproxyError('DBP_SCENARIO_UNKNOWN', { name, hint });
}

/** Several, and what is wrong with any of them. */
export async function findScenarios(
  names: readonly string[],
): Promise<{ found: readonly Scenario[]; wrong: readonly DbproxyError[] }> {
  const found: Scenario[] = [];
  const wrong: DbproxyError[] = [];
  for (const name of names) {
    try {
      found.push(await findScenario(name));
    } catch (error) {
      if (!(error instanceof DbproxyError)) throw error;
      wrong.push(error);
    }
  }
  return { found, wrong };
}

/** One error that says all of it, under the code of the first one. */
export function together([first, ...more]: readonly DbproxyError[]): DbproxyError | undefined {
  if (first === undefined || more.length === 0) return first;
  const others = `${first.details.others ?? ''}${more.map(({ message }) => `\n${message}`).join('')}`;
  return new DbproxyError(first.code, { ...first.details, others }, { cause: first, lists: first.lists });
}

/** Writes a scenario to begin with. Throws DBP_SCENARIO_EXISTS, DBP_ENV_FILE. */
export async function initScenario(file: string, { force }: { force: boolean }): Promise<void> {
  const text = await readFile(fileOf(FIRST_SCENARIO), 'utf8');
  const schema = relative(dirname(resolve(file)), SCHEMA);
  // Editors find the schema from where the file is.
  const own = text.replace(/(?<=\$schema=)\S+/, schema);
  await onFile(file, async () => {
    try {
      await writeFile(file, own, { flag: force ? 'w' : 'wx' });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
      throw new DbproxyError('DBP_SCENARIO_EXISTS', { file }, { cause });
    }
  });
}

const fileOf = (id: string): string => join(SCENARIOS, `${id}.yaml`);

/** The first one first. */
async function bundledIds(): Promise<string[]> {
  const files = await readdir(SCENARIOS);
  const ids = files.flatMap((file) => (file.endsWith('.yaml') ? [basename(file, '.yaml')] : [])).sort();
  return [FIRST_SCENARIO, ...ids.filter((id) => id !== FIRST_SCENARIO)];
}
