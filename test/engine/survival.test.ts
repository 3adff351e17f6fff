import { execFile } from 'node:child_process';
import { chown, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { adminQuery, type EngineRecord } from '../../src/engine/index.js';
import { blockedAt } from '../../src/engine/providers/embedded/server-user.js';
import { Bench } from './support.js';

const fixture = join(import.meta.dirname, 'fixtures/create-and-die.ts');
const nobody = { name: 'nobody', uid: 65534, gid: 65534 };

let bench: Bench;
beforeEach(async () => {
  bench = await Bench.open();
});
afterEach(() => bench.close());

/** The record that a process printed before it killed itself. */
async function madeByAnother(spawnOptions: { uid?: number; gid?: number } = {}): Promise<EngineRecord> {
  const tsx = ['--import', import.meta.resolve('tsx'), fixture, bench.home];
  const { stdout, stderr, signal } = await promisify(execFile)(process.execPath, tsx, {
    ...spawnOptions,
    env: { ...process.env, TMPDIR: bench.home },
    timeout: 30_000,
  }).then(
    (ended) => ({ ...ended, signal: null }),
    (error: { stdout: string; stderr: string; signal: string | null }) => error,
  );
  expect({ stderr, signal }).toEqual({ stderr: '', signal: 'SIGKILL' });
  return bench.keep(JSON.parse(stdout) as EngineRecord);
}

const canBecomeNobody =
  process.getuid?.() === 0 && (await blockedAt(join(import.meta.dirname, '../..'), nobody)) === null;

describe('an engine', () => {
  it('outlives whoever started it, and is found again without its record’s pid', async () => {
    const engine = await madeByAnother();
    expect(await bench.provider.inspect({ ...engine, process: null })).toEqual({
      state: 'running',
      process: engine.process,
      inRecovery: false,
      timeline: 1,
    });
    const [row] = await adminQuery(engine, 'select system_identifier::text as id from pg_control_system()');
    expect(row).toEqual({ id: engine.systemIdentifier });
    const session = (await readFile(`/proc/${engine.process?.pid}/stat`, 'latin1'))
      .split(') ')[1]
      ?.split(' ')[3];
    expect(Number(session)).toBe(engine.process?.pid);
  });

  it.skipIf(!canBecomeNobody)('of a normal user runs as that user', async () => {
    await chown(bench.home, nobody.uid, nobody.gid);
    const engine = await madeByAnother({ uid: nobody.uid, gid: nobody.gid });
    expect(await bench.provider.inspect(engine)).toMatchObject({ state: 'running' });
    const status = await readFile(`/proc/${engine.process?.pid}/status`, 'latin1');
    expect(/^Uid:\s+(\d+)/m.exec(status)?.[1]).toBe(String(nobody.uid));
    expect((await stat(join(engine.directory, 'data'))).uid).toBe(nobody.uid);
  });
});
