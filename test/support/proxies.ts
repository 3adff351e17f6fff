/** Proxy processes for tests: the real entry, run from the build. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { processIdentity, type EngineRecord } from '../../src/engine/index.js';
import { readProcessStat } from '../../src/engine/process-identity.js';
import type {
  HandoverResult,
  MoveResult,
  Program,
  ProxyApi,
  ProxyConfig,
  ProxyTls,
  TortureConfig,
  WriterHandover,
} from '../../src/proxy/control-api.js';
import type { WriterConfig } from '../../src/multiwriter/writer/config.js';
import { RpcClient } from '../../src/rpc/index.js';
import { DEFAULT_LIMITS, type MoveLimits } from '../../src/session-state/index.js';
import { EngineLink } from '../../src/switchover/engine-link.js';
import { emitFence, waitUntilReplayed } from '../../src/switchover/catch-up.js';
import { promote } from '../../src/switchover/promote.js';
import { freePort } from './free-port.js';
import { killChild } from './kill-child.js';
import { PASSWORD, randomName, routeTo, type TestEngines } from './engines.js';

export const ENTRY = new URL('../../dist/proxy/main.js', import.meta.url).pathname;

export { freePort };

export const THIS_BUILD: Program = { node: process.execPath, main: ENTRY };

/** For a process to come or to go, on a machine that does other things, too. */
const BOUND_MS = 30_000;

/** Also of a process that is not our child. */
export const waitForExit = async (pid: number): Promise<void> => {
  const end = Date.now() + BOUND_MS;
  while (processIdentity(pid)) {
    if (Date.now() > end) throw new Error(`process ${pid} does not end`);
    await delay(5);
  }
};

export class TestProxy {
  readonly port: number;
  readonly socketDirectory: string;
  readonly controlSocket: string;
  readonly process: ChildProcess;
  control: RpcClient<ProxyApi>;
  /** Of the process that serves now. */
  pid: number;
  log = '';

  private constructor(
    port: number,
    socketDirectory: string,
    controlSocket: string,
    child: ChildProcess,
    control: RpcClient<ProxyApi>,
  ) {
    this.port = port;
    this.socketDirectory = socketDirectory;
    this.controlSocket = controlSocket;
    this.process = child;
    this.control = control;
    this.pid = child.pid ?? 0;
  }

  /** Starts a proxy in front of `engine`; ready when its control socket answers. */
  static async start(
    engines: TestEngines,
    engine: EngineRecord | null,
    options: {
      maxSessions?: number;
      fastPath?: boolean;
      loginTimeoutMs?: number;
      port?: number;
      torture?: TortureConfig;
      tls?: ProxyTls;
      env?: NodeJS.ProcessEnv;
      controlSocket?: string;
      writer?: WriterConfig;
    } = {},
  ): Promise<TestProxy> {
    const port = options.port ?? (await freePort());
    const directory = join(engines.home, randomName());
    const config: ProxyConfig = {
      instance: 'test',
      host: '127.0.0.1',
      port,
      socketDirectory: directory,
      controlSocket: options.controlSocket ?? join(engines.home, `${randomName()}.sock`),
      generation: 1,
      maxSessions: options.maxSessions ?? 200,
      ...(options.loginTimeoutMs === undefined ? {} : { loginTimeoutMs: options.loginTimeoutMs }),
      ...(options.torture === undefined ? {} : { torture: options.torture }),
      ...(options.tls === undefined ? {} : { tls: options.tls }),
      ...(options.writer === undefined ? {} : { writer: options.writer }),
    };
    const child = spawn(process.execPath, [ENTRY], {
      env: {
        ...process.env,
        DBPROXY_PROXY_CONFIG: JSON.stringify(config),
        ...(options.fastPath === false ? { DBPROXY_FAST_PATH: '0' } : {}),
        ...options.env,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let log = '';
    child.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()));
    const control = await connectWhenUp(config.controlSocket, child, () => log);
    const proxy = new TestProxy(port, directory, config.controlSocket, child, control);
    child.stderr?.on('data', (chunk: Buffer) => (proxy.log += chunk.toString()));
    if (engine) await control.call('route', { engine: routeTo(engine) });
    return proxy;
  }

  url(user = 'postgres', database = 'postgres', password = PASSWORD): string {
    return `postgres://${user}:${encodeURIComponent(password)}@127.0.0.1:${this.port}/${database}`;
  }

  /** Has the process replaced by a new one of the same build, or of another. */
  async handOver(program: Program = THIS_BUILD, writer?: WriterHandover): Promise<HandoverResult> {
    const params = { program, ...(writer ? { writer } : {}) };
    const result = await this.control.call('handover', params, { timeoutMs: 60_000 });
    await this.reconnect();
    return result;
  }

  /** kill -9 of whichever process serves. */
  async kill(): Promise<void> {
    this.control.close();
    if (this.pid !== this.process.pid) {
      process.kill(this.pid, 'SIGKILL');
      await waitForExit(this.pid);
    }
    await killChild(this.process);
  }

  /** To whoever answers control requests now. */
  async reconnect(): Promise<void> {
    this.control.close();
    this.control = await connectWhenUp(this.controlSocket, this.process, () => this.log);
    this.pid = (await this.control.call('status', {})).pid;
  }

  async stop(): Promise<void> {
    if (this.pid !== this.process.pid) {
      await this.control.call('shutdown', {}).catch(() => undefined);
      await waitForExit(this.pid);
    }
    this.control.close();
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    this.process.kill('SIGTERM');
    await once(this.process, 'exit');
  }
}

const connectWhenUp = async (
  path: string,
  child: ChildProcess,
  log: () => string,
): Promise<RpcClient<ProxyApi>> => {
  const end = Date.now() + BOUND_MS;
  for (;;) {
    try {
      const control = await RpcClient.connect<ProxyApi>(path);
      await control.call('status', {});
      return control;
    } catch (error) {
      if (child.exitCode !== null && child.exitCode !== 0)
        throw new Error(`the proxy ended: ${log()}`, { cause: error });
      if (Date.now() > end) throw error;
      await delay(10);
    }
  }
};

const holdEverybody = async (proxy: TestProxy, budgetMs: number): Promise<void> => {
  const params = { budgetMs, unmovable: 'rollback', cancelTransactions: false, operation: 'test' } as const;
  const hold = await proxy.control.call('hold', params);
  if (!hold.held) throw new Error(`not held: ${JSON.stringify(hold)}`);
};

/** Processes that this one has started and that have not ended. */
export const childrenOf = (pid: number): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => readProcessStat(child)?.parentPid === pid && processIdentity(child) !== null);

/** Those that are proxies. */
export const successorsOf = (pid: number): number[] =>
  childrenOf(pid).filter((child) => readFileSync(`/proc/${child}/cmdline`, 'latin1').includes('proxy/main'));

/** One whole switch, as the coordinator does it, without its retries. Throws when the hold does not come about. */
export const moveTo = async (
  proxy: TestProxy,
  from: EngineRecord,
  to: EngineRecord,
  beforePromotion: () => Promise<unknown> = () => Promise.resolve(),
  limits: MoveLimits = DEFAULT_LIMITS,
): Promise<MoveResult> => {
  const [primary, standby] = await Promise.all([EngineLink.open(from), EngineLink.open(to)]);
  try {
    await proxy.control.call('warm', { target: routeTo(to), withinMs: 500, limits });
    await holdEverybody(proxy, 10_000);
    const lsn = await emitFence(primary);
    if (!(await waitUntilReplayed(standby, lsn, 8_000))) throw new Error('not caught up');
    const { committed, unmovable } = await proxy.control.call('commit', {});
    if (!committed) throw new Error(`not committed: ${JSON.stringify(unmovable)}`);
    await beforePromotion();
    await promote(standby);
    return await proxy.control.call('move', {});
  } finally {
    await Promise.all([primary.close(), standby.close()]);
  }
};

/** The same in place: `restart` stops the server that the sessions are on, and starts it again. */
export const restartUnder = async (
  proxy: TestProxy,
  restart: () => Promise<void>,
  limits: MoveLimits = DEFAULT_LIMITS,
): Promise<MoveResult> => {
  await proxy.control.call('survey', { withinMs: 500, limits });
  await holdEverybody(proxy, 10_000);
  const { committed, unmovable } = await proxy.control.call('save', { boundMs: 60_000 });
  if (!committed || unmovable.length > 0) throw new Error(`not committed: ${JSON.stringify(unmovable)}`);
  await restart();
  return proxy.control.call('move', {});
};
