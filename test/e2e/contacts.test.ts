/** Nothing of ours talks to anybody outside of this machine's loopback and the network of the instance. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MoveRecord, StatusResult, UpResult } from '../../src/control/api.js';
import { Cli, freePort } from '../support/cli.js';
import {
  isLoopback,
  isWithin,
  notedContacts,
  notingContacts,
  peersInNamespaceOf,
  peersOf,
} from '../support/contacts.js';
import { docker, hasDocker, IMAGE } from '../support/docker/index.js';

const LONG_MS = 240_000;

describe('the addresses that an instance contacts', () => {
  let cli: Cli;
  beforeAll(async () => void (cli = await Cli.open()));
  afterAll(() => cli.close(['embedded', 'docker']), LONG_MS);

  const run = async <T>(file: string, ...args: string[]): Promise<T> => {
    const { code, stdout, stderr } = await cli.run([...args, '--json'], notingContacts(file));
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    return JSON.parse(stdout) as T;
  };

  /** What users do, looking at the engines after each. */
  const play = async (name: string, up: readonly string[], look: () => Promise<void>): Promise<string[]> => {
    const file = join(cli.home, `${name}.contacts`);
    const port = String(await freePort());
    await run<UpResult>(file, 'up', '--name', name, '--port', port, ...up);
    await look();
    for (const to of [['large'], ['xlarge', '--strategy', 'resize']]) {
      const record = await run<MoveRecord>(file, 'scale', '--name', name, '--to', ...to);
      expect(record.outcome).toBe('completed');
      await look();
    }
    const load = ['workload', 'run', 'tpcb-like', '--init', '--clients', '2', '--for', '1s'];
    await run(file, ...load, '--name', name);
    await run(file, 'patch', '--self', '--name', name);
    await look();
    await run(file, 'down', '--name', name);
    return notedContacts(file);
  };

  const enginesOf = async (name: string): Promise<StatusResult['engines']> =>
    (await cli.json<StatusResult>(['status', '--name', name])).engines;

  it(
    'embedded: loopback, and the engines nobody at all',
    async () => {
      const peers: string[] = [];
      const noted = await play('embedded', ['--provider', 'embedded'], async () => {
        for (const { pid } of await enginesOf('embedded')) peers.push(...(await peersOf(pid ?? 0)));
      });
      expect(peers).toEqual([]);
      expect(noted).toContain('127.0.0.1');
      expect(noted.filter((address) => !isLoopback(address))).toEqual([]);
    },
    LONG_MS,
  );

  it.skipIf(!hasDocker)(
    'docker: loopback, and the engines those of their own network',
    async () => {
      const peers: string[] = [];
      let network = '';
      const up = ['--provider', 'docker', '--image', IMAGE];
      const noted = await play('docker', up, async () => {
        for (const { container } of await enginesOf('docker')) {
          const format = '{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.NetworkID}}{{end}}';
          const [pid, id = ''] = (await docker('inspect', '--format', format, container ?? '')).split(' ');
          network = await docker(
            'network',
            'inspect',
            '--format',
            '{{range .IPAM.Config}}{{.Subnet}}{{end}}',
            id,
          );
          peers.push(...(await peersInNamespaceOf(Number(pid))));
        }
      });
      expect(peers.some((address) => isWithin(address, network))).toBe(true);
      expect(peers.filter((address) => !isLoopback(address) && !isWithin(address, network))).toEqual([]);
      expect(noted).toContain('127.0.0.1');
      expect(noted.filter((address) => !isLoopback(address))).toEqual([]);
    },
    LONG_MS,
  );
});
