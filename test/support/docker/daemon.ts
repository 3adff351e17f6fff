/** A container runtime of a test's own, beside the one of the machine: it may die. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { docker, hasDocker, IMAGE } from './index.js';

/** Only root can start one; the image is copied from the machine's own. */
export const canStartDaemon =
  hasDocker && userInfo().uid === 0 && spawnSync('dockerd', ['--version']).status === 0;

const START_BOUND_MS = 120_000;
/** Of its containers. */
const ADDRESSES = '10.213.0.0/16';
/** The machine's own daemon drops what is forwarded between bridges that it does not know. */
const RULE = ['FORWARD', '--source', ADDRESSES, '--destination', ADDRESSES, '--jump', 'ACCEPT'];

export class OwnDaemon {
  readonly #directory: string;
  #process: ChildProcess | null = null;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** With the image of the tests in it. */
  static async open(): Promise<OwnDaemon> {
    const daemon = new OwnDaemon(await mkdtemp(join(tmpdir(), 'dbd-')));
    await daemon.start();
    const archive = daemon.#at('image.tar');
    await docker('save', '--output', archive, `${IMAGE}:17`);
    await daemon.docker('load', '--input', archive);
    await rm(archive);
    spawnSync('iptables', ['--wait', '--insert', ...RULE]);
    return daemon;
  }

  #at(name: string): string {
    return join(this.#directory, name);
  }

  /** As `DOCKER_HOST` names it. */
  get host(): string {
    return `unix://${this.#at('docker.sock')}`;
  }

  docker(...args: string[]): Promise<string> {
    return docker('--host', this.host, ...args);
  }

  async start(): Promise<void> {
    const end = performance.now() + START_BOUND_MS;
    for (;;) {
      const child = await this.#spawn();
      this.#process = child;
      while (child.exitCode === null && performance.now() < end) {
        if (spawnSync('docker', ['--host', this.host, 'info'], { stdio: 'ignore' }).status === 0) return;
        await delay(50);
      }
      // On a machine at its limit containerd may be late for it; then it gives up.
      if (performance.now() < end) continue;
      const log = await readFile(this.#at('log'), 'utf8');
      throw new Error(`dockerd does not start:\n${log.slice(-2_000)}`);
    }
  }

  async #spawn(): Promise<ChildProcess> {
    const log = await open(this.#at('log'), 'a');
    const child = spawn(
      'dockerd',
      [
        ...['--host', this.host, '--data-root', this.#at('data'), '--exec-root', this.#at('exec')],
        // No rules, no default bridge, other addresses than the machine's own daemon has.
        ...['--pidfile', this.#at('pid'), '--iptables=false', '--ip-masq=false', '--bridge=none'],
        ...['--default-address-pool', `base=${ADDRESSES},size=24`],
      ],
      { stdio: ['ignore', log.fd, log.fd] },
    );
    await log.close();
    return child;
  }

  /** kill -9. What published its ports ends with it. */
  async die(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async close(): Promise<void> {
    const child = this.#process;
    if (child && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    spawnSync('iptables', ['--wait', '--delete', ...RULE]);
    // A daemon that could not be ended in order leaves its containers' keepers, and its mounts.
    const keepers = spawnSync('pgrep', ['--full', `${this.#directory}/exec`], { encoding: 'utf8' });
    for (const pid of keepers.stdout.split('\n').filter(Boolean)) spawnSync('kill', ['-KILL', pid]);
    const mounts = (await readFile('/proc/mounts', 'utf8'))
      .split('\n')
      .map((line) => line.split(' ')[1] ?? '');
    for (const mount of mounts.filter((each) => each.startsWith(`${this.#directory}/`)).reverse())
      spawnSync('umount', ['--lazy', mount]);
    await rm(this.#directory, { recursive: true, force: true });
  }
}
