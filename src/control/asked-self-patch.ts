/**
 * A `patch --self` whose supervisor does not know of it yet: while the new build is tried, and the supervisor replaced. It stands on
 * record in the control directory, with the process that runs it, so that `cancel` finds it.
 */
import { randomBytes } from 'node:crypto';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { processIdentity } from '../engine/index.js';
import { DbproxyError } from '../errors/index.js';
import { exists } from '../exists.js';
import { VERSION } from '../version.js';
import { readJson, writeJson } from './json-file.js';
import type { InstancePaths } from './paths.js';
import { isAlive } from './processes.js';
import { processRecord } from './records.js';

const RECORD = /^patch-self-[0-9a-f]+\.json$/;
/** Beside the record: it is given up. */
const givenUpOf = (file: string): string => `${file}.given-up`;

export class AskedSelfPatch {
  readonly #file: string;

  private constructor(file: string) {
    this.#file = file;
  }

  /** Of an instance that does not run nothing is written. */
  static async begin({ controlDirectory }: InstancePaths): Promise<AskedSelfPatch> {
    const file = join(controlDirectory, `patch-self-${randomBytes(6).toString('hex')}.json`);
    const own = processIdentity(process.pid);
    if (own && (await exists(controlDirectory)))
      await writeJson(file, { process: own, version: VERSION }, { durable: false });
    return new AskedSelfPatch(file);
  }

  /** Throws DBP_SWITCH_ROLLED_BACK. */
  async assertGoesOn(): Promise<void> {
    if (await exists(givenUpOf(this.#file)))
      throw new DbproxyError('DBP_SWITCH_ROLLED_BACK', { step: 'handover', reason: 'it was given up' });
  }

  /** The supervisor knows of it, or it has ended. */
  async end(): Promise<void> {
    await forget(this.#file);
  }
}

/** Those that run: they end before anything is replaced, or their supervisor comes to know of them. True: there were some. */
export async function giveUpAsked({ controlDirectory }: InstancePaths): Promise<boolean> {
  const names = await readdir(controlDirectory).catch(() => []);
  let found = false;
  for (const name of names.filter((each) => RECORD.test(each))) {
    const file = join(controlDirectory, name);
    const record = await readJson(file, processRecord);
    if (isAlive(record?.process)) {
      await writeFile(givenUpOf(file), '', { mode: 0o600 });
      // It may have ended meanwhile.
      if (!(await exists(file))) await forget(file);
      found = true;
    } else await forget(file);
  }
  return found;
}

const forget = async (file: string): Promise<void> => {
  // Whoever comes later forgets what is left.
  for (const each of [file, givenUpOf(file)]) await rm(each, { force: true }).catch(() => undefined);
};
