import { mkdtemp, readFile, readdir, rm, stat, symlink, writeFile, chmod, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { InstanceSpec } from '../../src/control/api.js';
import {
  InstanceDirectory,
  listInstanceNames,
  newInstanceRecord,
} from '../../src/control/instance-directory.js';
import { instancePaths } from '../../src/control/paths.js';

const spec: InstanceSpec = {
  name: 'shop',
  provider: 'embedded',
  providerReason: 'test',
  postgres: '17',
  size: 'small',
  host: '127.0.0.1',
  port: 6432,
  maxSessions: 10,
};

let home: string;
let directory: InstanceDirectory;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'dbpdir-'));
  directory = new InstanceDirectory(instancePaths('shop', home));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

describe('directories', () => {
  test('nobody else can list or read anything', async () => {
    await directory.create();
    await directory.password();
    await directory.writeInstance(newInstanceRecord(spec));
    const { paths } = directory;
    // Root's engines run as another uid and pass through; that is 0711, never more.
    const passage = process.getuid?.() === 0 ? 0o711 : 0o700;
    for (const path of [paths.home, paths.directory, paths.enginesDirectory, paths.runDirectory]) {
      expect(await modeOf(path), path).toBe(passage);
    }
    for (const path of [paths.controlDirectory, paths.clientSocketDirectory]) {
      expect(await modeOf(path), path).toBe(0o700);
    }
    for (const path of [paths.passwordFile, paths.instanceFile]) expect(await modeOf(path), path).toBe(0o600);
  });

  test('a link or a file in the place of the directory is refused', async () => {
    await mkdir(join(home, 'instances'));
    await symlink('/tmp', join(home, 'instances', 'shop'));
    await expect(directory.create()).rejects.toMatchObject({ code: 'DBP_ENV_DIRECTORY' });
  });

  test.runIf(process.getuid?.() === 0)(
    'as root: a home that PostgreSQL cannot reach is refused by name',
    async () => {
      const closed = join(home, 'closed');
      await mkdir(closed);
      await chmod(closed, 0o700);
      const inside = new InstanceDirectory(instancePaths('shop', join(closed, 'home')));
      await expect(inside.create()).rejects.toMatchObject({
        code: 'DBP_ENV_DIRECTORY',
        details: { directory: closed },
      });
    },
  );

  test('purge leaves nothing of the instance', async () => {
    await directory.create();
    await directory.writeInstance(newInstanceRecord(spec));
    expect(await listInstanceNames(home)).toEqual(['shop']);
    await directory.purge();
    expect(await listInstanceNames(home)).toEqual([]);
    await directory.purge();
  });
});

describe('records', () => {
  beforeEach(() => directory.create());

  test('what is written is read back; what is missing is null', async () => {
    expect(await directory.readInstance()).toBeNull();
    expect(await directory.readOperation()).toBeNull();
    const record = newInstanceRecord(spec);
    await directory.writeInstance(record);
    expect(await directory.readInstance()).toEqual(record);
  });

  test('the password is made once', async () => {
    const [first, second] = [await directory.password(), await directory.password()];
    expect(first).toBe(second);
    expect(first.length).toBeGreaterThanOrEqual(20);
  });

  test.each([
    ['not JSON', '{"schema":"dbproxy.inst', /JSON/],
    ['another form', '{"schema":"dbproxy.instance/1"}', /spec/],
    ['a later version', '{"schema":"dbproxy.instance/2"}', /schema/],
    ['empty', '', /./],
  ])('a damaged file is named and left as it is: %s', async (_, content, reason) => {
    const file = directory.paths.instanceFile;
    await writeFile(file, content);
    const error: unknown = await directory.readInstance().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'DBP_INSTANCE_DAMAGED', details: { file } });
    expect((error as Error).message).toMatch(reason);
    expect(await readFile(file, 'utf8')).toBe(content);
  });

  test('a reader never sees half a file, and no temporary file stays', async () => {
    const record = newInstanceRecord(spec);
    await directory.writeInstance(record);
    let writing = true;
    const writer = (async () => {
      for (let i = 1; i <= 40; i++) await directory.writeInstance({ ...record, nextEngine: i });
      writing = false;
    })();
    let reads = 0;
    while (writing) {
      expect((await directory.readInstance())?.nextEngine).toBeGreaterThan(0);
      reads++;
    }
    await writer;
    expect(reads).toBeGreaterThan(5);
    expect((await readdir(directory.paths.directory)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});
