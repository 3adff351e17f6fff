import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  adminQuery,
  dropReplicationSlot,
  engineOperations,
  withAdmin,
  type EngineRecord,
} from '../../src/engine/index.js';
import { postmasterPid } from '../../src/engine/providers/embedded/find.js';
import { SOON } from '../support/soon.js';
import { Bench, failure, processCount, sharedMemoryId, sharedMemoryIds } from './support.js';

let bench: Bench;
let primary: EngineRecord;
beforeAll(async () => {
  bench = await Bench.open();
  primary = await bench.primary();
  await adminQuery(primary, 'create table public.numbers as select g as n from generate_series(1, 20000) g');
  // The list of hot blocks is written every few seconds.
  await vi.waitUntil(() => existsSync(join(primary.directory, 'data/autoprewarm.blocks')), SOON);
});
afterAll(() => bench.close());

const slots = (): Promise<object[]> =>
  adminQuery(primary, 'select slot_name, active from pg_replication_slots order by 1');
const backups = (): Promise<object[]> =>
  adminQuery(
    primary,
    `select pid from pg_stat_activity where query like '%pg_backup_start%' and pid <> pg_backend_pid()`,
  );

async function replayed(standby: EngineRecord): Promise<void> {
  const [row] = await adminQuery<{ lsn: string }>(primary, 'select pg_current_wal_insert_lsn()::text as lsn');
  await expect
    .poll(
      () => adminQuery(standby, 'select pg_last_wal_replay_lsn() >= $1::pg_lsn as passed', [row?.lsn]),
      SOON,
    )
    .toEqual([{ passed: true }]);
}

describe('a standby', () => {
  let standby: EngineRecord;
  beforeAll(async () => {
    standby = await bench.standbyOf(primary, { size: 'large' });
  });

  it('is a streaming copy with the settings of its own size', async () => {
    expect(standby).toMatchObject({
      role: 'standby',
      size: 'large',
      systemIdentifier: primary.systemIdentifier,
    });
    expect(await bench.provider.inspect(standby)).toMatchObject({
      state: 'running',
      inRecovery: true,
      timeline: 1,
    });
    expect(await slots()).toEqual([{ slot_name: `dbproxy_${standby.id}`, active: true }]);
    expect(
      await adminQuery(standby, 'select count(*)::int as n, sum(n)::int as sum from public.numbers'),
    ).toEqual([{ n: 20000, sum: 200010000 }]);
    const buffers = (engine: EngineRecord): Promise<{ b: number }[]> =>
      adminQuery(engine, `select setting::int as b from pg_settings where name = 'shared_buffers'`);
    expect((await buffers(standby))[0]?.b).toBeGreaterThan((await buffers(primary))[0]?.b ?? Infinity);
    await adminQuery(primary, 'insert into public.numbers values (0)');
    await replayed(standby);
    expect(await adminQuery(standby, 'select n from public.numbers where n = 0')).toEqual([{ n: 0 }]);
  });

  it('has loaded the hot blocks of its primary', async () => {
    await expect
      .poll(() => readFile(standby.logFile, 'utf8'), SOON)
      .toMatch(/autoprewarm successfully prewarmed [1-9]\d* of \d+ previously-loaded blocks/);
  });

  it('follows its primary again after it was killed', async () => {
    process.kill(standby.process?.pid ?? 0, 'SIGKILL');
    await expect.poll(() => bench.provider.inspect(standby), SOON).toEqual({ state: 'stopped' });
    await adminQuery(primary, 'insert into public.numbers values (-1)');
    standby = bench.keep(await bench.provider.start(standby));
    await replayed(standby);
    expect(await adminQuery(standby, 'select n from public.numbers where n = -1')).toEqual([{ n: -1 }]);
  });

  it('promoted, is a primary of a newer timeline that needs nothing of the old one', async () => {
    await adminQuery(standby, 'select pg_promote(true)');
    // At once: the control file still shows the old timeline here.
    expect(await bench.provider.inspect(standby)).toMatchObject({ inRecovery: false, timeline: 2 });
    await bench.provider.afterPromotion(standby);
    await bench.provider.afterPromotion(standby);
    // It does not reload by itself: the sessions' backends have better to do then.
    await adminQuery(standby, 'select pg_reload_conf()');
    await expect
      .poll(
        () =>
          adminQuery(
            standby,
            `select current_setting('primary_conninfo') as info, current_setting('primary_slot_name') as slot`,
          ),
        SOON,
      )
      .toEqual([{ info: '', slot: '' }]);
    await dropReplicationSlot(primary, standby.id);
    await dropReplicationSlot(primary, standby.id);
    expect(await slots()).toEqual([]);
    await adminQuery(standby, 'insert into public.numbers values (-2)');
    await bench.provider.stop(standby, 'fast');
    standby = bench.keep(await bench.provider.start(standby));
    expect(await bench.provider.inspect(standby)).toMatchObject({
      state: 'running',
      inRecovery: false,
      timeline: 2,
    });
    expect(await adminQuery(standby, 'select n from public.numbers where n = -2')).toEqual([{ n: -2 }]);
  });

  it('can itself have a standby', async () => {
    const next = await bench.standbyOf(standby);
    expect(await bench.provider.inspect(next)).toMatchObject({ inRecovery: true, timeline: 2 });
    await bench.provider.remove(next);
    await dropReplicationSlot(standby, next.id);
  });
});

describe('a standby made while the primary is written to', () => {
  it('has every row, though files come, go and shrink under the copy', async () => {
    let done = false;
    let inserted = 0;
    await adminQuery(primary, 'create table public.ledger (n int primary key)');
    const writer = withAdmin(primary, async (query) => {
      while (!done) {
        await query('insert into public.ledger select n from generate_series($1::int, $1::int + 99) n', [
          inserted + 1,
        ]);
        inserted += 100;
      }
    });
    const churner = withAdmin(primary, async (query) => {
      while (!done) {
        await query('create table public.churn as select repeat($1, 100) from generate_series(1, 5000)', [
          'x',
        ]);
        await query('truncate public.churn');
        await query('drop table public.churn');
        await query('checkpoint');
      }
    });
    const standby = await bench.standbyOf(primary);
    done = true;
    await Promise.all([writer, churner]);
    await replayed(standby);
    const [row] = await adminQuery(
      standby,
      'select count(*)::int as rows, max(n) as last from public.ledger',
    );
    expect(inserted).toBeGreaterThan(0);
    expect(row).toEqual({ rows: inserted, last: inserted });
    await bench.provider.remove(standby);
    await dropReplicationSlot(primary, standby.id);
  });
});

describe('a standby that fails', () => {
  async function expectNothingLeft(options: { id: string; directory: string }): Promise<void> {
    expect(await slots()).toEqual([]);
    expect(await backups()).toEqual([]);
    expect(await bench.left()).not.toContain(options.id);
    expect(processCount(options)).toBe(0);
  }

  it.each(['backup', 'copy', 'start', 'wait-ready'])(
    'because it was aborted in %s: nothing is left',
    async (step) => {
      const abort = new AbortController();
      const options = bench.options({
        signal: abort.signal,
        onProgress: (progress) => {
          if (progress.step === step) abort.abort();
        },
      });
      const error = await failure(bench.provider.createStandby(primary, options));
      expect(error.code).toBe('DBP_INTERRUPTED');
      await expectNothingLeft(options);
    },
  );

  it('because it was killed while it started: nothing is left', async () => {
    let segment = '';
    const options = bench.options({
      onProgress: (progress) => {
        if (progress.step !== 'wait-ready') return;
        segment = sharedMemoryId(options);
        process.kill(postmasterPid(join(options.directory, 'data')) ?? 0, 'SIGKILL');
      },
    });
    const error = await failure(bench.provider.createStandby(primary, options));
    expect(error).toMatchObject({ code: 'DBP_ENGINE_STANDBY', exitCode: 1 });
    await expectNothingLeft(options);
    expect(segment).toMatch(/^\d+$/);
    expect(sharedMemoryIds()).not.toContain(segment);
  });

  it('because the primary has a tablespace: says so', async () => {
    await withAdmin(primary, async (query) => {
      await query('set allow_in_place_tablespaces = on');
      await query(`create tablespace elsewhere location ''`);
    });
    const options = bench.options();
    const error = await failure(bench.provider.createStandby(primary, options));
    expect(error).toMatchObject({ code: 'DBP_ENGINE_STANDBY' });
    expect(error.message).toContain('elsewhere');
    await expectNothingLeft(options);
    await adminQuery(primary, 'drop tablespace elsewhere');
  });

  it('because the primary is gone: says so within bounds', async () => {
    await bench.provider.stop(primary, 'fast');
    const options = bench.options();
    const startedAt = performance.now();
    const error = await failure(bench.provider.createStandby(primary, options));
    expect(error).toMatchObject({ code: 'DBP_ENGINE_STANDBY' });
    expect(performance.now() - startedAt).toBeLessThan(30_000);
    expect(await bench.left()).not.toContain(options.id);
    primary = bench.keep(await bench.provider.start(primary));
    expect(await readdir(join(primary.directory, 'data/pg_replslot'))).toEqual([]);
  });
});

describe('a primary that dies while a copy of it is made', () => {
  it('keeps nobody waiting for WAL that never comes', async () => {
    const dying = await bench.primary();
    const owner = { name: 'bench', directory: bench.home };
    const operations = engineOperations('embedded', { cacheDirectory: join(bench.home, 'cache'), owner });
    const begun = performance.now();
    const options = bench.options({
      // The files are there; what it streams from is not.
      onProgress: ({ step }) => {
        if (step === 'start') process.kill(dying.process?.pid ?? 0, 'SIGKILL');
      },
    });
    const error = await failure(operations.createStandby(dying, options));
    expect(error.message).toContain('it ended while a copy of it was made');
    // A start may take a minute.
    expect(performance.now() - begun).toBeLessThan(50_000);
    expect(processCount(options)).toBe(0);
    expect(await bench.left()).not.toContain(options.id);
  });
});

it('is made of a primary whose directory has a quote, a backslash and a line break in its name', async () => {
  const odd = (id: string): { id: string; socketDirectory: string; directory: string } => ({
    ...{ id, socketDirectory: join(bench.home, "it's\n\\x", id) },
    directory: join(bench.home, 'engines', "it's\n\\x", id),
  });
  const upstream = await bench.primary(odd('e90'));
  const standby = await bench.standbyOf(upstream, odd('e91'));
  expect(await bench.provider.inspect(standby)).toMatchObject({ state: 'running', inRecovery: true });
});
