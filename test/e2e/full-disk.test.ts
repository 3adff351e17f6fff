/** Reports on a disk that is full, a real one: the result is told all the same, what is missing is said, nothing half is left. */
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DoctorResult } from '../../src/control/doctor.js';
import type { DemoResult } from '../../src/scenario/types.js';
import { Cli } from '../support/cli.js';

const LONG_MS = 180_000;
const disk = await mount('64k');
const home = await mount('20m');

/** Where we may not mount, or cannot: null. */
async function mount(size: string): Promise<string | null> {
  if (process.getuid?.() !== 0) return null;
  const directory = await mkdtemp(join(tmpdir(), 'dbp-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory], { stdio: 'ignore' });
    return directory;
  } catch {
    await rm(directory, { recursive: true });
    return null;
  }
}

describe.skipIf(disk === null)('a disk of 64 KB (root, who can mount one)', () => {
  let cli: Cli;
  let scenario: string;
  const at = (name: string): string => join(disk ?? '', name);
  const fill = async (): Promise<void> => {
    const { bavail, bsize } = await statfs(disk ?? '');
    await writeFile(at('ballast'), Buffer.alloc(bavail * bsize));
  };

  beforeAll(async () => {
    cli = await Cli.open();
    await mkdir(join(cli.home, 'h'));
    scenario = join(cli.home, 's.yaml');
    await writeFile(scenario, 'version: 1\nname: x\nsteps:\n  - { sql: select 1, equals: 1 }\n');
  });
  afterAll(async () => {
    await cli?.close();
    if (disk === null) return;
    execFileSync('umount', [disk]);
    await rm(disk, { recursive: true });
  });

  it(
    'too small for the page alone: 4, the small ones are there, nothing of the page',
    async () => {
      const files = ['--report', at('r.html'), '--junit', at('j.xml'), '--markdown', at('m.md')];
      const { code, stdout, stderr } = await cli.run(['demo', 'run', scenario, ...files, '--json']);
      expect(code).toBe(4);
      expect((JSON.parse(stdout) as DemoResult).outcome).toBe('passed');
      expect(stderr).toContain(`the file ${at('r.html')} cannot be written: the disk is full`);
      expect(stderr).toContain(`df -h ${disk}`);
      expect((await readdir(disk ?? '')).sort()).toEqual(['j.xml', 'm.md']);
      expect(await readFile(at('m.md'), 'utf8')).toContain('## ✅ x');
      expect(await cli.processes()).toEqual([]);
    },
    LONG_MS,
  );

  it(
    'full: each file is named, what stood there before stays, and everything is removed',
    async () => {
      const before = await readFile(at('j.xml'), 'utf8');
      await fill();
      const files = ['--report', at('r.html'), '--junit', at('j.xml'), '--events', at('e.ndjson')];
      const { code, stdout, stderr } = await cli.run(['demo', 'run', scenario, ...files]);
      expect(code).toBe(4);
      expect(stdout).toContain('Everything was as expected.');
      for (const name of ['r.html', 'j.xml', 'e.ndjson'])
        expect(stderr).toContain(`the file ${at(name)} cannot be written: the disk is full`);
      expect(await readFile(at('j.xml'), 'utf8')).toBe(before);
      expect((await readdir(disk ?? '')).filter((name) => name.endsWith('.tmp'))).toEqual([]);
      expect(await cli.processes()).toEqual([]);
    },
    LONG_MS,
  );

  it(
    'an expectation that does not hold counts more: 3',
    async () => {
      const wrong = join(cli.home, 'w.yaml');
      await writeFile(wrong, 'version: 1\nname: x\nsteps:\n  - { sql: select 1, equals: 2 }\n');
      const { code, stderr } = await cli.run(['demo', 'run', wrong, '--report', at('r.html')]);
      expect(code).toBe(3);
      expect(stderr).toContain('the disk is full');
    },
    LONG_MS,
  );
});

describe.skipIf(home === null)('a home of 20 MB (root, who can mount one)', () => {
  let cli: Cli;
  beforeAll(async () => {
    cli = await Cli.open();
    await chmod(home ?? '', 0o711);
  });
  afterAll(async () => {
    await cli?.close();
    if (home === null) return;
    execFileSync('umount', [home]);
    await rm(home, { recursive: true });
  });

  it(
    'has no room for an engine: up says that it is the disk, 4, and nothing of it stays',
    async () => {
      const env = { DBPROXY_HOME: join(home ?? '', 'h'), DBPROXY_PROVIDER: 'embedded' };
      const { code, stdout } = await cli.run(['up', '--json'], env);
      // A directory that is there still: what was made below it is gone.
      const suggestions = expect.arrayContaining([`make room there: df -h ${home}`]) as string[];
      expect(JSON.parse(stdout)).toMatchObject({ code: 'DBP_ENV_DISK_FULL', suggestions });
      expect(code).toBe(4);
      expect(await readdir(join(env.DBPROXY_HOME, 'instances'))).toEqual([]);
      const doctor = JSON.parse((await cli.run(['doctor', '--json'], env)).stdout) as DoctorResult;
      expect(doctor.healthy).toBe(false);
      expect(doctor.checks.find(({ name }) => name === 'home')).toMatchObject({
        state: 'problem',
        detail: expect.stringMatching(/: \d+ MB are free, and a new instance takes about 40$/) as string,
        advice: `make room there: df -h ${home}`,
      });
    },
    LONG_MS,
  );
});
