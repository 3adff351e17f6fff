/**
 * dbproxy as npm installs it, in a project of a user's own: only what `npm pack` takes, and of our node_modules only what it
 * depends on at run time. What else the user has (a test runner, TypeScript) is named.
 */
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { extract } from 'tar';
import { providerEnv, type CliResult } from './cli.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const exec = promisify(execFile);

export class InstalledProject {
  /** Of the user: package.json, node_modules, and whatever is written there. */
  readonly directory: string;
  /** DBPROXY_HOME of what runs there. */
  readonly home: string;

  private constructor(directory: string) {
    this.directory = join(directory, 'project');
    this.home = join(directory, 'h');
  }

  static async make({ tools }: { tools: readonly string[] }): Promise<InstalledProject> {
    const directory = await mkdtemp(join(tmpdir(), 'dbpi-'));
    // Engines of root run under another user, who has to pass through.
    await chmod(directory, 0o711);
    const project = new InstalledProject(directory);
    await mkdir(join(project.directory, 'node_modules/dbproxy'), { recursive: true });
    await project.write('package.json', JSON.stringify({ name: 'mine', private: true, type: 'module' }));
    await project.#unpack(directory);
    await project.#link([...(await runtimeDependencies()), ...tools]);
    return project;
  }

  async write(name: string, text: string): Promise<void> {
    const file = join(this.directory, name);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }

  /** Runs `node …` there to its end; never throws for its exit code. */
  node(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<CliResult> {
    const options = {
      cwd: this.directory,
      env: {
        PATH: process.env.PATH,
        HOME: this.home,
        DBPROXY_HOME: this.home,
        NO_COLOR: '1',
        ...providerEnv(),
        ...env,
      },
      maxBuffer: 64 * 1024 * 1024,
    };
    return new Promise((resolve) => {
      execFile(process.execPath, args, options, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
        resolve({ code, stdout, stderr });
      });
    });
  }

  /** The command of a tool of the project. */
  bin(path: string): string {
    return join(this.directory, 'node_modules', path);
  }

  remove(): Promise<void> {
    return rm(dirname(this.directory), { recursive: true, force: true });
  }

  async #unpack(into: string): Promise<void> {
    // Built by `npm test`; not again, while other tests run from it.
    const { stdout } = await exec('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', into], {
      cwd: ROOT,
    });
    const [packed] = JSON.parse(stdout) as [{ filename: string }];
    await extract({ file: join(into, packed.filename), cwd: this.bin('dbproxy'), strip: 1 });
  }

  async #link(packages: Iterable<string>): Promise<void> {
    for (const name of new Set(packages)) {
      await mkdir(dirname(this.bin(name)), { recursive: true });
      await symlink(join(ROOT, 'node_modules', name), this.bin(name));
    }
  }
}

/** Names of the packages on the first level of our node_modules that belong to the run time. */
async function runtimeDependencies(): Promise<string[]> {
  // It ends with 1 when an optional package is for another platform.
  const { stdout } = await exec('npm', ['ls', '--omit=dev', '--all', '--parseable'], { cwd: ROOT }).catch(
    (error: { stdout: string }) => error,
  );
  const level = join(ROOT, 'node_modules');
  return stdout
    .split('\n')
    .filter((path) => path.startsWith(level))
    .map((path) => relative(level, path))
    .filter((name) => !name.includes('node_modules'));
}
