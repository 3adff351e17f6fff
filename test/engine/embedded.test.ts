import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adminQuery, type EngineRecord } from '../../src/engine/index.js';
import { SOON } from '../support/soon.js';
import { Bench, failure, processCount, sharedMemory, sharedMemoryId, sharedMemoryIds } from './support.js';

let bench: Bench;
let engine: EngineRecord;
beforeAll(async () => {
  bench = await Bench.open();
  engine = await bench.primary();
});
afterAll(() => bench.close());

describe('a new engine', () => {
  it('answers, and is what its record says', async () => {
    expect(engine).toMatchObject({ provider: 'embedded', role: 'primary', size: 'small' });
    const health = await bench.provider.inspect(engine);
    expect(health).toEqual({ state: 'running', process: engine.process, inRecovery: false, timeline: 1 });
    const [row] = await adminQuery(
      engine,
      `select system_identifier::text as id, current_setting('server_version') as version from pg_control_system()`,
    );
    expect(row).toEqual({ id: engine.systemIdentifier, version: engine.postgres });
  });

  it('has the settings that the rest relies on', async () => {
    const rows = await adminQuery<{ name: string; setting: string }>(
      engine,
      `select name, setting from pg_settings`,
    );
    const setting = Object.fromEntries(rows.map((row) => [row.name, row.setting]));
    expect(setting).toMatchObject({
      listen_addresses: '',
      data_checksums: 'on',
      wal_segment_size: String(1024 * 1024),
      wal_level: 'replica',
      fsync: 'on',
      synchronous_commit: 'on',
      full_page_writes: 'on',
      max_connections: '1200',
      server_encoding: 'UTF8',
      password_encryption: 'scram-sha-256',
      cluster_name: `dbproxy-${engine.id}`,
      restore_command: '',
      recovery_end_command: '',
      shared_preload_libraries: 'pg_prewarm',
    });
    expect(Number(setting['shared_buffers']) * 8).toBe(128 * 1024);
  });

  it('keeps the superuser’s password as a SCRAM verifier, and no file with the password', async () => {
    const [row] = await adminQuery<{ rolpassword: string }>(
      engine,
      `select rolpassword from pg_authid where rolname = 'postgres'`,
    );
    expect(row?.rolpassword).toMatch(/^SCRAM-SHA-256\$4096:/);
    expect((await readdir(engine.directory)).sort()).toEqual(['data', 'engine.log']);
  });

  it('has no way in but a socket in a private directory', async () => {
    if (engine.access.kind !== 'socket') throw new Error('no socket');
    expect((await stat(engine.access.directory)).mode & 0o777).toBe(0o700);
    expect((await stat(engine.directory)).mode & 0o777).toBe(0o700);
    const hba = await adminQuery(
      engine,
      `select type, database, user_name, auth_method from pg_hba_file_rules`,
    );
    expect(hba).toEqual([
      { type: 'local', database: ['all'], user_name: ['all'], auth_method: 'trust' },
      { type: 'local', database: ['replication'], user_name: ['all'], auth_method: 'trust' },
    ]);
    const pid = engine.process?.pid ?? 0;
    const inodes = new Set(
      execFileSync('sh', ['-c', `readlink /proc/${pid}/fd/* || true`], { encoding: 'utf8' }).match(
        /(?<=socket:\[)\d+/g,
      ),
    );
    const tcp =
      (await readFile('/proc/net/tcp', 'latin1')) +
      (await readFile('/proc/net/tcp6', 'latin1').catch(() => ''));
    const tcpInodes = tcp.split('\n').map((line) => line.trim().split(/\s+/)[9] ?? '');
    expect(inodes.size).toBeGreaterThan(0);
    expect(tcpInodes.filter((inode) => inodes.has(inode))).toEqual([]);
  });

  it('does not run as root', () => {
    const status = execFileSync('cat', [`/proc/${engine.process?.pid}/status`], { encoding: 'utf8' });
    const uids = /^Uid:\s+(.+)$/m.exec(status)?.[1]?.split(/\s+/) ?? [];
    expect(uids).toHaveLength(4);
    expect(uids).not.toContain('0');
  });

  it('lets ALTER SYSTEM win over a size, but not over what dbproxy relies on', async () => {
    await adminQuery(engine, `alter system set work_mem = '7MB'`);
    await adminQuery(engine, `alter system set listen_addresses = '127.0.0.1'`);
    await adminQuery(engine, `alter system set max_connections = 20`);
    await bench.provider.stop(engine, 'fast');
    engine = bench.keep(await bench.provider.start(engine));
    const [row] = await adminQuery(
      engine,
      `select current_setting('work_mem') as work_mem, current_setting('listen_addresses') as listen, current_setting('max_connections') as connections`,
    );
    expect(row).toEqual({ work_mem: '7MB', listen: '', connections: '1200' });
  });

  it('reports its usage', async () => {
    expect(await bench.provider.usage(engine)).toMatchObject({ cpuPercent: 0 });
    await adminQuery(engine, `select count(*) from generate_series(1, 1000000)`);
    const usage = await bench.provider.usage(engine);
    expect(usage?.cpuPercent).toBeGreaterThan(1);
    expect(usage?.memoryBytes).toBeGreaterThan(10 * 1024 ** 2);
    expect(usage?.memoryBytes).toBeLessThan(512 * 1024 ** 2);
  });
});

describe('stopping and finding again', () => {
  it('stops fast without loss, is idempotent, and starts again', async () => {
    await adminQuery(engine, 'create table public.kept as select 42 as answer');
    await bench.provider.stop(engine, 'fast');
    await bench.provider.stop(engine, 'fast');
    expect(await bench.provider.inspect(engine)).toEqual({ state: 'stopped' });
    expect(await bench.provider.usage(engine)).toBeNull();
    expect(processCount(engine)).toBe(0);
    const again = bench.keep(await bench.provider.start(engine));
    expect(again.process).not.toEqual(engine.process);
    expect(again.systemIdentifier).toBe(engine.systemIdentifier);
    expect(await adminQuery(again, 'select * from public.kept')).toEqual([{ answer: 42 }]);
    engine = again;
  });

  it('finds a running engine whose record is stale, and does not start it twice', async () => {
    const stale: EngineRecord = { ...engine, process: null };
    expect(await bench.provider.inspect(stale)).toMatchObject({ state: 'running', process: engine.process });
    expect((await bench.provider.start(stale)).process).toEqual(engine.process);
    const wrong: EngineRecord = { ...engine, process: { pid: process.pid, startTime: 'another' } };
    expect(await bench.provider.inspect(wrong)).toMatchObject({ state: 'running', process: engine.process });
  });

  it('sees that the postmaster was killed, ends its children, and starts again with every commit', async () => {
    await adminQuery(engine, 'insert into public.kept values (43)');
    // Computes without ever looking up: such a backend outlives its postmaster.
    const busy = adminQuery(engine, `select count(*) from generate_series(1, 200000000)`, [], {
      timeoutMs: 30_000,
    });
    const lost = failure(busy);
    await expect
      .poll(
        () =>
          adminQuery(
            engine,
            `select 1 from pg_stat_activity where query like '%200000000%' and pid <> pg_backend_pid() and state = 'active'`,
          ),
        SOON,
      )
      .toHaveLength(1);
    process.kill(engine.process?.pid ?? 0, 'SIGKILL');
    await expect.poll(() => bench.provider.inspect(engine), SOON).toEqual({ state: 'stopped' });
    engine = bench.keep(await bench.provider.start(engine));
    expect((await lost).code).toBe('DBP_ENGINE_QUERY');
    expect(await adminQuery(engine, 'select answer from public.kept order by 1')).toEqual([
      { answer: 42 },
      { answer: 43 },
    ]);
  });

  it('is not fooled by a postmaster.pid whose pid belongs to somebody else now', async () => {
    await bench.provider.stop(engine, 'immediate');
    await writeFile(
      join(engine.directory, 'data/postmaster.pid'),
      `${process.pid}\n${engine.directory}/data\n`,
    );
    expect(await bench.provider.inspect(engine)).toEqual({ state: 'stopped' });
    engine = bench.keep(await bench.provider.start(engine));
    expect(await bench.provider.inspect(engine)).toMatchObject({ state: 'running' });
  });

  it('tells a server that does not answer from one that does', async () => {
    const pid = engine.process?.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    try {
      expect(await bench.provider.inspect(engine)).toMatchObject({
        state: 'unresponsive',
        process: engine.process,
      });
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await expect.poll(() => bench.provider.inspect(engine), SOON).toMatchObject({ state: 'running' });
  });

  it('leaves no process, directory or shared memory, even of one that was killed', async () => {
    const doomed = await bench.primary();
    const files = sharedMemory(doomed);
    const segment = sharedMemoryId(doomed);
    expect(sharedMemoryIds()).toContain(segment);
    expect(files.length).toBeGreaterThan(0);
    process.kill(doomed.process?.pid ?? 0, 'SIGKILL');
    await bench.provider.remove(doomed);
    await bench.provider.remove(doomed);
    expect(processCount(doomed)).toBe(0);
    expect(await bench.left()).not.toContain(doomed.id);
    expect(files.filter((file) => existsSync(file))).toEqual([]);
    expect(sharedMemoryIds()).not.toContain(segment);
  });
});

describe('what cannot be', () => {
  it('an unknown version', async () => {
    const error = await failure(bench.provider.create(bench.options({ postgres: '9.6' })));
    expect(error).toMatchObject({ code: 'DBP_USAGE_UNKNOWN_VERSION', exitCode: 2 });
    expect(error.message).toContain(engine.postgres);
  });

  it('a socket directory whose path is too long', async () => {
    const options = bench.options({ socketDirectory: join(bench.home, 'x'.repeat(100)) });
    const error = await failure(bench.provider.create(options));
    expect(error).toMatchObject({ code: 'DBP_ENV_DIRECTORY', exitCode: 4 });
    expect(error.message).toMatch(/\d+ bytes long, at most \d+ are possible/);
    expect(await bench.left()).not.toContain(options.id);
  });

  it('a directory that cannot be made, or that exists', async () => {
    const file = join(bench.home, 'file');
    await writeFile(file, '');
    const inFile = await failure(bench.provider.create(bench.options({ directory: join(file, 'e') })));
    expect(inFile).toMatchObject({ code: 'DBP_ENV_DIRECTORY' });
    const same = await failure(bench.provider.create(bench.options({ directory: engine.directory })));
    expect(same).toMatchObject({ code: 'DBP_ENV_DIRECTORY' });
    expect(await bench.provider.inspect(engine)).toMatchObject({ state: 'running' });
  });

  it('a directory in a file system that takes none', async () => {
    const options = bench.options({ directory: '/proc/dbproxy/e' });
    expect(await failure(bench.provider.create(options))).toMatchObject({
      code: 'DBP_ENV_DIRECTORY',
      exitCode: 4,
    });
  });

  it.skipIf(process.getuid?.() !== 0)(
    'a directory that the engines’ user may not reach: says which',
    async () => {
      const closed = join(bench.home, 'closed');
      await mkdir(closed, { mode: 0o700 });
      const options = bench.options({ directory: join(closed, 'e') });
      const error = await failure(bench.provider.create(options));
      expect(error).toMatchObject({ code: 'DBP_ENV_DIRECTORY', exitCode: 4 });
      expect(error.message).toContain(`may not pass ${closed}`);
      expect(await readdir(closed)).toEqual([]);
    },
  );

  it('a start on a broken data directory: the error has the end of the log, nothing runs', async () => {
    const broken = await bench.primary();
    await bench.provider.stop(broken, 'fast');
    await writeFile(join(broken.directory, 'data/global/pg_control'), 'garbage');
    const error = await failure(bench.provider.start(broken));
    expect(error).toMatchObject({ code: 'DBP_ENGINE_START', exitCode: 1 });
    expect(error.message).toMatch(/it ended with (exit code|signal)/);
    expect(error.message).toContain('global/pg_control');
    expect(Number(error.details['waitedMs'])).toBeLessThan(30_000);
    expect(processCount(broken)).toBe(0);
  });

  it.each(['initdb', 'start'])('an aborted create (in %s) leaves nothing', async (step) => {
    const abort = new AbortController();
    const options = bench.options({
      signal: abort.signal,
      onProgress: (progress) => {
        if (progress.step === step) setTimeout(() => abort.abort(), 20);
      },
    });
    const error = await failure(bench.provider.create(options));
    expect(error.code).toBe('DBP_INTERRUPTED');
    expect(await bench.left()).not.toContain(options.id);
    expect(processCount(options)).toBe(0);
  });
});
