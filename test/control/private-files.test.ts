/** What an instance leaves on the disk and in the process list: nobody else can read it, and no secret is where it need not be. */
import { chmod, lstat, mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EngineSummary } from '../../src/control/api.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { replaceSelf } from '../../src/control/replace-self.js';
import { RpcClient } from '../../src/rpc/index.js';
import { docker } from '../support/docker/index.js';
import { RawClient } from '../support/raw-client.js';
import { LiveHome, scale, status, Writer } from './live.js';

let live: LiveHome;
beforeAll(async () => {
  live = await LiveHome.open();
});
afterAll(() => live.close());

interface Entry {
  readonly path: string;
  readonly mode: number;
  readonly kind: 'file' | 'directory' | 'socket' | 'other';
}

const walk = async (path: string): Promise<Entry[]> => {
  const found = await lstat(path).catch(() => null);
  // Gone since it was listed.
  if (!found) return [];
  const kind = found.isDirectory()
    ? 'directory'
    : found.isFile()
      ? 'file'
      : found.isSocket()
        ? 'socket'
        : 'other';
  const below = kind === 'directory' ? await readdir(path).catch(() => []) : [];
  const entries = await Promise.all(below.map((name) => walk(join(path, name))));
  return [{ path, mode: found.mode & 0o777, kind }, ...entries.flat()];
};

const postmasterOf = async ({ pid, container }: EngineSummary): Promise<number> =>
  container === null ? pid! : Number(await docker('inspect', '--format', '{{.State.Pid}}', container));

test('everything is its owner’s alone, and the password stands in one file', async () => {
  const { url, port } = await live.up('private', { tls: 'on' });
  const { paths } = InstanceDirectory.of('private');
  const password = new URL(url).password;
  const writer = await Writer.start(url);
  await RawClient.login(port, { user: 'postgres', password: 'a wrong guess' }).catch(() => undefined);
  await replaceSelf('private', () => undefined);
  await scale('private', 'medium');
  await writer.progressed();

  const entries = [...(await walk(paths.directory)), ...(await walk(paths.runDirectory))];
  const passages = new Set([paths.directory, paths.enginesDirectory, paths.runDirectory]);
  const isPassage = ({ path, mode }: Entry): boolean =>
    userInfo().uid === 0 && mode === 0o711 && (passages.has(path) || /\/engines\/e\d+$/.test(path));
  const open = entries.filter(({ mode }) => (mode & 0o077) !== 0);
  // An engine's own socket is 0777, as PostgreSQL makes it, and so is its directory in a container, whose user may be any: the engine's is closed.
  const isOfSocket = ({ path }: Entry): boolean => /\/e\d+(\/s|(\/s)?\/\.s\.PGSQL\.\d+)$/.test(path);
  const wrong = open.filter((entry) => !isPassage(entry) && !isOfSocket(entry));
  expect(wrong.map(({ path, mode }) => `${mode.toString(8)} ${path}`)).toEqual([]);
  for (const { path } of open.filter(isOfSocket)) {
    const [closed = ''] = /^.*\/e\d+(?=\/)/.exec(path) ?? [];
    expect((await stat(closed)).mode & 0o777, path).toBe(0o700);
  }

  const files = entries.filter(({ kind, path }) => kind === 'file' && !path.includes('/data/'));
  expect(files.length).toBeGreaterThan(8);
  const telling: string[] = [];
  for (const { path } of files) {
    const text = await readFile(path, 'latin1').catch(() => '');
    if (text.includes(password) || text.includes('a wrong guess')) telling.push(path);
  }
  expect(telling).toEqual([paths.passwordFile]);

  // What all users of the machine see, and what only this one sees.
  const { proxy, supervisor, engines } = await status('private');
  for (const pid of await readdir('/proc')) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (Number(pid) !== process.pid) expect(line).not.toContain(password);
  }
  for (const pid of [proxy?.pid, supervisor.pid, ...(await Promise.all(engines.map(postmasterOf)))]) {
    expect((await stat(`/proc/${pid}/environ`)).mode & 0o077).toBe(0);
    expect(await readFile(`/proc/${pid}/environ`, 'utf8')).not.toContain(password);
  }
  await writer.finish();
}, 120_000);

test('a control socket that may be somebody else’s is not talked to', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'dbp-'));
  const path = join(directory, 'control.sock');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const connect = (): Promise<unknown> => RpcClient.connect(path).then((client) => client.close());
  try {
    await chmod(path, 0o666);
    await expect(connect()).rejects.toMatchObject({ code: 'DBP_ENV_DIRECTORY' });
    await chmod(path, 0o600);
    await connect();
    await chmod(directory, 0o777);
    await expect(connect()).rejects.toThrow(/a directory that others can write/);
  } finally {
    server.close();
    await rm(directory, { recursive: true, force: true });
  }
  await expect(connect()).rejects.toMatchObject({ code: 'DBP_RPC_UNREACHABLE' });
});
