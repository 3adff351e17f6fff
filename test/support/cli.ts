/** Runs the built command as users do, in a DBPROXY_HOME of its own, and keeps its two outputs apart. */
import { spawn, type ChildProcess } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url));

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCli {
  readonly child: ChildProcess;
  readonly done: Promise<CliResult>;
  /** Resolves when stdout and stderr together hold `text`; rejects when the command ends without it. */
  saw(text: string): Promise<void>;
}

export class Cli {
  readonly home: string;
  /** The Node that commands run on. */
  node = process.execPath;

  private constructor(home: string) {
    this.home = home;
  }

  static async open(): Promise<Cli> {
    const home = await mkdtemp(join(tmpdir(), 'dbp-'));
    // Engines of root run under another user, who has to pass through.
    await chmod(home, 0o711);
    return new Cli(home);
  }

  run(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<CliResult> {
    return this.start(args, env).done;
  }

  start(args: readonly string[], env: NodeJS.ProcessEnv = {}): RunningCli {
    const child = spawn(this.node, [BIN, ...args], {
      env: {
        PATH: process.env.PATH,
        HOME: this.home,
        DBPROXY_HOME: join(this.home, 'h'),
        ...providerEnv(),
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return observe(child);
  }

  /** The one JSON object on stdout; the command must have ended with `code`. */
  async json<T = Record<string, unknown>>(args: readonly string[], code = 0): Promise<T> {
    const result = await this.run([...args, '--json']);
    if (result.code !== code) {
      throw new Error(`${args.join(' ')}: exit ${result.code}\n${result.stdout}\n${result.stderr}`);
    }
    return JSON.parse(result.stdout) as T;
  }

  /** Ends every instance of this home and removes it. */
  async close(instances: readonly string[] = []): Promise<void> {
    for (const name of instances) await this.run(['down', '--purge', '--yes', '--name', name]);
    await rm(this.home, { recursive: true, force: true });
  }

  /** Pids of processes whose environment or command line names this home. */
  async processes(): Promise<number[]> {
    const { readdir } = await import('node:fs/promises');
    const found: number[] = [];
    for (const entry of await readdir('/proc')) {
      if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
      const read = (name: string): Promise<string> =>
        readFile(`/proc/${entry}/${name}`, 'utf8').catch(() => '');
      if ((await read('environ')).includes(this.home) || (await read('cmdline')).includes(this.home)) {
        found.push(Number(entry));
      }
    }
    return found;
  }
}

/** Which provider, and how its runtime is found: as the tests themselves run (vitest.config.ts). */
export const providerEnv = (): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) =>
      /^(DBPROXY_(PROVIDER|IMAGE)|DOCKER_HOST|TESTCONTAINERS_.*)$/.test(name),
    ),
  );

function observe(child: ChildProcess): RunningCli {
  const text = { stdout: '', stderr: '' };
  const watchers = new Set<() => void>();
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk;
      for (const look of watchers) look();
    });
  }
  const done = new Promise<CliResult>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...text }));
  });
  const saw = (wanted: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (!(text.stdout + text.stderr).includes(wanted)) return;
        watchers.delete(look);
        resolve();
      };
      watchers.add(look);
      look();
      void done.then(() => reject(new Error(`ended without "${wanted}":\n${text.stdout}\n${text.stderr}`)));
    });
  return { child, done, saw };
}

export { freePort } from './free-port.js';
