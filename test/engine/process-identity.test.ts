import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { isSameProcess, processIdentity, signalProcess } from '../../src/engine/index.js';
import { SOON } from '../support/soon.js';

const started: ReturnType<typeof spawn>[] = [];
function sleeper(command = 'sleep', args = ['60']): ReturnType<typeof spawn> {
  const child = spawn(command, args, { stdio: 'ignore' });
  started.push(child);
  return child;
}
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

function identityOf(pid: number | undefined): { pid: number; startTime: string } {
  const identity = processIdentity(pid ?? 0);
  if (identity === null) throw new Error('it does not run');
  return identity;
}

describe('process identity', () => {
  it('is that of the process until it ends', async () => {
    const child = sleeper();
    const identity = identityOf(child.pid);
    expect(isSameProcess(identity)).toBe(true);
    expect(signalProcess(identity, 'SIGKILL')).toBe(true);
    await once(child, 'exit');
    expect(isSameProcess(identity)).toBe(false);
    expect(signalProcess(identity, 'SIGKILL')).toBe(false);
    expect(processIdentity(identity.pid)).toBeNull();
  });

  it('does not take another process with the same pid for it', () => {
    const child = sleeper();
    const identity = identityOf(child.pid);
    const other = { ...identity, startTime: `${identity.startTime}0` };
    expect(isSameProcess(other)).toBe(false);
    expect(signalProcess(other, 'SIGKILL')).toBe(false);
    expect(isSameProcess(identity)).toBe(true);
  });

  it('counts a zombie as ended', async () => {
    // The shell becomes `sleep`, which never collects its child: that stays a zombie.
    const parent = spawn('sh', ['-c', 'sleep 0.05 & echo $!; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    started.push(parent);
    const [chunk] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(chunk.toString());
    await expect.poll(() => processIdentity(pid), SOON).toBeNull();
    expect(() => process.kill(pid, 0)).not.toThrow();
  });

  it('refuses what is no pid', () => {
    for (const pid of [0, -1, 1.5, Number.NaN]) expect(processIdentity(pid)).toBeNull();
  });
});
