/** The docker provider with a real runtime: what a container is made with, how it ends, and what is left of it. */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  adminQuery,
  providerOf,
  type EngineProvider,
  type EngineRecord,
  type ProvisionOptions,
} from '../../src/engine/index.js';
import { docker, hasDocker, IMAGE, leftOf, WITH_BASE_BACKUP } from '../support/docker/index.js';
import { failure } from './support.js';

const LONG_MS = 120_000;

class ContainerBench {
  readonly directory: string;
  readonly provider: EngineProvider;
  #next = 1;

  private constructor(directory: string) {
    this.directory = directory;
    const owner = { name: 'bench', directory };
    this.provider = providerOf('docker', { cacheDirectory: join(directory, 'cache'), owner });
  }

  static async open(): Promise<ContainerBench> {
    const directory = await mkdtemp(join(tmpdir(), 'dbc-'));
    await writeFile(join(directory, 'password'), 'correct horse\n', { mode: 0o600 });
    return new ContainerBench(directory);
  }

  options(more: Partial<ProvisionOptions> = {}): ProvisionOptions {
    const id = more.id ?? `e${this.#next++}`;
    return {
      ...{
        id,
        directory: join(this.directory, 'engines', id),
        socketDirectory: join(this.directory, 's', id),
      },
      ...{ size: 'small', postgres: '17', image: IMAGE },
      superuserPassword: 'correct horse',
      superuserPasswordFile: join(this.directory, 'password'),
      ...more,
    };
  }

  async close(): Promise<void> {
    await this.provider.sweep([], 'all');
    const left = leftOf(this.directory);
    await rm(this.directory, { recursive: true, force: true });
    expect(left).toEqual([]);
  }
}

const nameOf = (engine: EngineRecord): string => engine.container?.name ?? '';
const inspected = async (engine: EngineRecord, format: string): Promise<string> =>
  docker('inspect', '--format', format, nameOf(engine));
const one = async (engine: EngineRecord, sql: string): Promise<unknown> => {
  const [row] = await adminQuery<Record<string, unknown>>(engine, sql);
  return Object.values(row ?? {})[0];
};

/** The tests' image of 17, with another script before its own. */
async function imageWithEntrypoint(name: string, script: string): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'dbi-'));
  const file = join(directory, 'before.sh');
  await writeFile(file, `#!/bin/sh\n${script}`, { mode: 0o755 });
  const container = await docker('create', `${IMAGE}:17`);
  try {
    await docker('cp', file, `${container}:/usr/local/bin/before.sh`);
    await docker('commit', '--change', 'ENTRYPOINT ["before.sh"]', container, name);
  } finally {
    await docker('rm', '--volumes', container);
    await rm(directory, { recursive: true });
  }
}

describe.skipIf(!hasDocker)('an engine in a container', () => {
  let bench: ContainerBench;
  let primary: EngineRecord;
  beforeAll(async () => {
    bench = await ContainerBench.open();
    primary = await bench.provider.create(bench.options());
  }, LONG_MS);
  afterAll(() => bench.close(), LONG_MS);

  it('has the limits of its size, its labels, and a port on 127.0.0.1 only', async () => {
    expect(await inspected(primary, '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}')).toBe(
      '536870912 1000000000',
    );
    expect(Number(await inspected(primary, '{{.HostConfig.ShmSize}}'))).toBe(128 * 1024 * 1024);
    const bindings = await inspected(primary, '{{json .NetworkSettings.Ports}}');
    expect(JSON.parse(bindings)).toEqual({
      '5432/tcp': [{ HostIp: '127.0.0.1', HostPort: String(primary.access.port) }],
    });
    const labels = await inspected(primary, '{{json .Config.Labels}}');
    expect(JSON.parse(labels)).toMatchObject({
      'dbproxy.instance': 'bench',
      'dbproxy.directory': bench.directory,
      'dbproxy.role': 'engine',
      'dbproxy.engine': primary.id,
    });
    expect(primary).toMatchObject({
      provider: 'docker',
      postgres: expect.stringMatching(/^17\./) as string,
      process: null,
    });
  });

  it('is a cluster as embedded ones are: checksums, small WAL segments, the settings of its size, SCRAM', async () => {
    expect(await one(primary, 'show data_checksums')).toBe('on');
    expect(await one(primary, 'show wal_segment_size')).toBe('1MB');
    expect(await one(primary, 'show shared_buffers')).toBe('128MB');
    expect(await one(primary, 'show shared_preload_libraries')).toBe('pg_prewarm');
    expect(
      await one(
        primary,
        `select datlocprovider::text || datlocale from pg_database where datname = 'postgres'`,
      ),
    ).toBe('bC.UTF-8');
    await writeFile(join(bench.directory, 'wrong'), 'wrong\n');
    const stranger = { ...primary, superuserPasswordFile: join(bench.directory, 'wrong') };
    expect((await failure(adminQuery(stranger, 'select 1'))).message).toContain(
      'password authentication failed',
    );
  });

  it('has a socket here, too, in a directory that nobody else can enter; killed and started, it has it again', async () => {
    const { socket } = primary;
    if (!socket) throw new Error('the containers of this machine run on another kernel');
    expect((await stat(dirname(socket.directory))).mode & 0o777).toBe(0o700);
    const past: EngineRecord = { ...primary, access: socket, superuserPasswordFile: undefined };
    expect(await one(past, `select inet_server_addr() is null`)).toBe(true);
    await bench.provider.stop(primary, 'immediate');
    await expect(adminQuery(past, 'select 1')).rejects.toThrow();
    primary = await bench.provider.start(primary);
    expect(primary.socket).toEqual(socket);
    expect(await one(past, 'select 1')).toBe(1);
  });

  it(
    'where its server cannot make a socket in that directory it has none, and is there all the same',
    async () => {
      const image = 'dbproxy-test/no-socket:17';
      await imageWithEntrypoint(
        image,
        `chmod 0700 /dbproxy-socket || true\nexec docker-entrypoint.sh "$@"\n`,
      );
      const engine = await bench.provider.create(bench.options({ image: 'dbproxy-test/no-socket' }));
      expect(engine.socket).toBeUndefined();
      expect(await one(engine, 'show shared_preload_libraries')).toBe('pg_prewarm');
      await bench.provider.remove(engine);
      await docker('rmi', image);
    },
    LONG_MS,
  );

  it(
    'two that are made at the same moment share the network of the instance',
    async () => {
      const other = await ContainerBench.open();
      try {
        const both = await Promise.all([1, 2].map(() => other.provider.create(other.options())));
        const networks = await Promise.all(
          both.map((engine) => inspected(engine, '{{range .NetworkSettings.Networks}}{{.NetworkID}}{{end}}')),
        );
        expect(new Set(networks).size).toBe(1);
      } finally {
        await other.close();
      }
    },
    LONG_MS,
  );

  it('reports what it uses', async () => {
    await bench.provider.usage(primary);
    const usage = await bench.provider.usage(primary);
    expect(usage?.memoryBytes).toBeGreaterThan(8 * 1024 * 1024);
    expect(usage?.cpuPercent).toBeGreaterThanOrEqual(0);
  });

  it(
    'stopped, leaves its data and its log; started, has another size, and its port',
    async () => {
      await adminQuery(primary, 'create table public.kept as select 42 as n');
      await bench.provider.stop(primary, 'fast');
      await bench.provider.stop(primary, 'fast');
      expect(await bench.provider.inspect(primary)).toEqual({
        state: 'stopped',
        reason: 'its container is gone',
      });
      expect(await readFile(primary.logFile, 'utf8')).toContain('database system is shut down');
      const { access } = primary;
      primary = await bench.provider.start({ ...primary, size: 'medium' });
      expect(primary.access).toEqual(access);
      expect(await inspected(primary, '{{.HostConfig.Memory}}')).toBe(String(1024 ** 3));
      expect(await one(primary, 'show shared_buffers')).toBe('256MB');
      expect(await one(primary, 'show shared_preload_libraries')).toBe('pg_prewarm');
      expect(await one(primary, 'select n from public.kept')).toBe(42);
      expect(await bench.provider.inspect(primary)).toMatchObject({ state: 'running', inRecovery: false });
    },
    LONG_MS,
  );

  it(
    'removed by hand, is known to be gone, and comes back on its volume',
    async () => {
      await docker('rm', '--force', nameOf(primary));
      expect(await bench.provider.isRunning(primary)).toBe(false);
      expect(await bench.provider.inspect(primary)).toEqual({
        state: 'stopped',
        reason: 'its container is gone',
      });
      primary = await bench.provider.start(primary);
      expect(await one(primary, 'select n from public.kept')).toBe(42);
    },
    LONG_MS,
  );

  it(
    'a standby streams, is promoted, and needs nothing of the old primary; no password stays in its configuration',
    async () => {
      await adminQuery(
        primary,
        'create table public.numbers as select g as n from generate_series(1, 20000) g',
      );
      const steps: string[] = [];
      const standby = await bench.provider.createStandby(
        primary,
        bench.options({ size: 'large', onProgress: ({ step }) => steps.push(step) }),
      );
      expect(steps).toContain('copy');
      expect(standby).toMatchObject({ role: 'standby', systemIdentifier: primary.systemIdentifier });
      expect(await bench.provider.inspect(standby)).toMatchObject({ inRecovery: true, timeline: 1 });
      expect(await one(standby, 'select count(*)::int from public.numbers')).toBe(20000);
      await adminQuery(primary, 'insert into public.numbers values (0)');
      await vi.waitUntil(() => one(standby, 'select 1 from public.numbers where n = 0'), { timeout: 20_000 });

      await adminQuery(standby, 'select pg_promote(true)');
      await bench.provider.afterPromotion(standby);
      await bench.provider.remove(primary);
      expect(leftOf(bench.directory).join()).not.toContain(`${nameOf(primary)} `);
      const conf = await docker('exec', nameOf(standby), 'cat', '/dbproxy/data/dbproxy.conf');
      expect(conf).not.toContain('primary_conninfo');
      expect(conf).toContain(`shared_preload_libraries = 'pg_prewarm'`);
      await bench.provider.stop(standby, 'fast');
      primary = await bench.provider.start(standby);
      expect(await bench.provider.inspect(primary)).toMatchObject({ inRecovery: false, timeline: 2 });
      await adminQuery(primary, 'insert into public.numbers values (-1)');
    },
    LONG_MS,
  );

  it(
    'a start whose volume is gone says so, and makes no empty cluster in its place',
    async () => {
      const lost = await bench.provider.create(bench.options());
      await docker('rm', '--force', '--volumes', nameOf(lost));
      await docker('volume', 'rm', nameOf(lost));
      const error = await failure(bench.provider.start(lost));
      expect(error).toMatchObject({ code: 'DBP_ENGINE_LOST' });
      expect(error.message).toContain(`its volume ${nameOf(lost)} is gone`);
      expect(leftOf(bench.directory).join()).not.toContain(nameOf(lost));
      await bench.provider.remove(lost);
    },
    LONG_MS,
  );

  it(
    'killed for its memory, says so with its limit, and comes back',
    async () => {
      await adminQuery(primary, 'create table if not exists public.kept as select 42 as n');
      await docker('update', '--memory', '128m', '--memory-swap', '128m', nameOf(primary));
      // The first process of the container: the kernel picks it when the others are smaller.
      await docker(
        'exec',
        nameOf(primary),
        'sh',
        '-c',
        'echo 1000 >/proc/1/oom_score_adj; tail /dev/zero',
      ).catch(() => undefined);
      await vi.waitUntil(async () => !(await bench.provider.isRunning(primary)), { timeout: 30_000 });
      expect(await bench.provider.inspect(primary)).toEqual({
        state: 'stopped',
        reason: 'killed by the kernel: out of memory (limit 128 MiB)',
      });
      primary = await bench.provider.start(primary);
      expect(await one(primary, 'select n from public.kept')).toBe(42);
    },
    LONG_MS,
  );

  it(
    'one that dies as it is made the primary, or larger: the former waits for its next start, the latter is refused',
    async () => {
      const { id, size } = primary;
      await docker('kill', nameOf(primary));
      await bench.provider.afterPromotion(primary);
      const error = await failure(bench.provider.resize(primary, 'medium'));
      expect(error).toMatchObject({ code: 'DBP_ENGINE_RESIZE', details: { engine: id, size: 'medium' } });
      expect(error.message).toMatch(/is not running/);
      primary = await bench.provider.start({ ...primary, size });
      expect(await one(primary, 'select n from public.kept')).toBe(42);
    },
    LONG_MS,
  );

  it(
    'a volume that is full: the error ends with what the server said, and nothing is left',
    async () => {
      const options = bench.options();
      const name = nameOf(primary).replace(/-e\d+$/, `-${options.id}`);
      await docker(
        'volume',
        'create',
        '--opt',
        'type=tmpfs',
        '--opt',
        'device=tmpfs',
        '--opt',
        'o=size=8m',
        name,
      );
      const error = await failure(bench.provider.create(options));
      expect(error).toMatchObject({ code: 'DBP_ENGINE_START' });
      expect(error.message).toContain('No space left on device');
      expect((await docker('volume', 'ls', '--quiet')).split('\n')).not.toContain(name);
    },
    LONG_MS,
  );

  it('an image of another major: refused before anything is made', async () => {
    const error = await failure(bench.provider.create(bench.options({ image: WITH_BASE_BACKUP })));
    expect(error).toMatchObject({ code: 'DBP_USAGE_IMAGE_VERSION', exitCode: 2 });
    expect(error.message).toMatch(/holds PostgreSQL 15\.\d+, wanted is 17/);
    const standby = bench.provider.createStandby(
      primary,
      bench.options({ image: WITH_BASE_BACKUP, postgres: '15' }),
    );
    expect(await failure(standby)).toMatchObject({ code: 'DBP_USAGE_IMAGE_VERSION' });
    expect(await one(primary, 'select count(*)::int from pg_replication_slots')).toBe(0);
  });

  it('an image that is not here, and that no registry gives: the environment, with what to do', async () => {
    const error = await failure(
      bench.provider.resolve({ postgres: '17', image: '127.0.0.1:9/nowhere/postgres' }),
    );
    expect(error).toMatchObject({ code: 'DBP_ENV_IMAGE', exitCode: 4 });
    expect(error.message).toContain('127.0.0.1:9/nowhere/postgres:17');
    expect(error.suggestions.join('\n')).toMatch(/docker pull .*\n.*--image .*\n.*--provider embedded/);
  });
});

describe.skipIf(!hasDocker)('an image that has pg_basebackup', () => {
  let bench: ContainerBench;
  beforeAll(async () => void (bench = await ContainerBench.open()));
  afterAll(() => bench.close(), LONG_MS);

  it(
    'makes its standby by it, inside of the new container, over the network of the instance',
    async () => {
      const kind = { postgres: '15', image: IMAGE };
      const primary = await bench.provider.create(bench.options(kind));
      await adminQuery(
        primary,
        'create table public.numbers as select g as n from generate_series(1, 20000) g',
      );
      const standby = await bench.provider.createStandby(primary, bench.options({ ...kind, size: 'medium' }));
      expect(await docker('logs', nameOf(standby))).not.toContain('error');
      expect(await one(standby, 'select count(*)::int from public.numbers')).toBe(20000);
      expect(await docker('exec', nameOf(standby), 'cat', '/dbproxy/data/backup_label.old')).toContain(
        `LABEL: dbproxy_${standby.id}`,
      );
      expect(await inspected(standby, '{{json .Config.Cmd}}')).toContain('standby.sh');
      await adminQuery(standby, 'select pg_promote(true)');
      await bench.provider.remove(primary);
      expect(await bench.provider.inspect(standby)).toMatchObject({ inRecovery: false, timeline: 2 });
    },
    LONG_MS,
  );
});
