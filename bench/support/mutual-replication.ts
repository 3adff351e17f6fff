/**
 * The peer of several writers: two engines that are each other's subscribers (manual, 29: logical replication, `origin = none`), as
 * PostgreSQL has it. Changes are applied as they come, and nothing detects a conflict; nor is a commit on any disk when its
 * client hears of it, which `synchronous_commit = off` leaves to the writer's log here and to luck there.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { adminQuery, type EngineRecord } from '../../src/engine/index.js';
import { eventually, socketOf } from '../../test/support/clients.js';
import type { TestEngines } from '../../test/support/engines.js';
import { TestProxy } from '../../test/support/proxies.js';

const BOUND_MS = 30_000;

export interface MutualEngine {
  readonly proxy: TestProxy;
  /** Of its postmaster. */
  readonly pid: number;
}

export class MutualReplication {
  readonly members: readonly MutualEngine[];
  readonly #engines: readonly EngineRecord[];
  readonly #servers: readonly ChildProcess[];

  private constructor(
    members: readonly MutualEngine[],
    engines: readonly EngineRecord[],
    servers: readonly ChildProcess[],
  ) {
    this.members = members;
    this.#engines = engines;
    this.#servers = servers;
  }

  /** `setUp` is carried out on each of the two, through its proxy, before either hears of the other. */
  static async start(
    engines: TestEngines,
    setUp: (port: number) => Promise<void>,
  ): Promise<MutualReplication> {
    const records = [await engines.primary(), await engines.primary()];
    const servers: ChildProcess[] = [];
    for (const record of records) servers.push(await withLogicalWal(engines, record));
    const proxies = await Promise.all(records.map((record) => TestProxy.start(engines, record)));
    for (const proxy of proxies) await setUp(proxy.port);
    for (const record of records) await adminQuery(record, 'create publication all_of_it for all tables');
    for (const [i, record] of records.entries()) {
      const other = socketOf(records[1 - i]!);
      await adminQuery(
        record,
        `create subscription from_${1 - i} connection 'host=${other.directory} port=${other.port} user=postgres dbname=postgres'
           publication all_of_it with (copy_data = false, origin = none, slot_name = to_${i})`,
      );
    }
    const members = proxies.map((proxy, i) => ({ proxy, pid: servers[i]!.pid! }));
    return new MutualReplication(members, records, servers);
  }

  /** Waits until each has what the other wrote until now. */
  async atRest(): Promise<void> {
    for (const engine of this.#engines) {
      const [now] = await adminQuery<{ lsn: string }>(engine, 'select pg_current_wal_insert_lsn() as lsn');
      await eventually(
        'the other one to have it',
        async () => {
          const [slot] = await adminQuery<{ done: boolean }>(
            engine,
            'select bool_and(confirmed_flush_lsn >= $1::pg_lsn) as done from pg_replication_slots',
            [now?.lsn],
          );
          return slot?.done === true;
        },
        BOUND_MS,
      );
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map(({ proxy }) => proxy.stop()));
    await Promise.all(
      this.#servers.map(async (server) => {
        const ended = new Promise((resolve) => server.once('exit', resolve));
        server.kill('SIGQUIT');
        await ended;
      }),
    );
  }
}

/** The engine again as it was, but for what it writes to its WAL; and commits do not wait for that. */
async function withLogicalWal(engines: TestEngines, engine: EngineRecord): Promise<ChildProcess> {
  const { pid } = engine.process!;
  const [command = '', ...args] = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').slice(0, -1);
  const environment = (await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0').filter(Boolean);
  const { uid, gid } = await stat(`/proc/${pid}`);
  await engines.provider.stop(engine, 'fast');
  const server = spawn(
    command,
    [
      ...args.map((one) => (one === 'wal_level=replica' ? 'wal_level=logical' : one)),
      ...['-c', 'synchronous_commit=off'],
    ],
    {
      uid,
      gid,
      stdio: 'ignore',
      env: Object.fromEntries(environment.map((one) => one.split(/=(.*)/s).slice(0, 2) as [string, string])),
    },
  );
  await eventually(
    'an engine with logical WAL',
    () =>
      adminQuery(engine, 'select').then(
        () => true,
        () => null,
      ),
    BOUND_MS,
  );
  return server;
}
