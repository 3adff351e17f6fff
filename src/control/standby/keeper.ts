/**
 * Keeps a standby beside the primary (`up --standby`): makes it, starts it, looks at its lag, makes another one when it is lost or
 * when the primary is another engine by now. While it streams the proxy covers its sessions.
 *
 * Synchronous: commits wait for it from the moment on that it has everything; on record before anybody relies on it, and taken
 * back on record before commits do not wait any more. A standby that is lost makes nobody wait: that is told, and so is its return.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { dropReplicationSlot, flushedPosition, standbyLag, type StandbyLag } from '../../engine/index.js';
import type { EngineRecord } from '../../engine/types.js';
import { DbproxyError } from '../../errors/index.js';
import type { StandbyStatus } from '../api.js';
import type { OnStep } from '../ensure.js';
import { type Instance, kindOf } from '../instance.js';
import type { Proxy } from '../proxy-process.js';

const LOOK_EVERY_MS = 1_000;
/** How long a standby may be without a connection to its primary before it is taken for lost, ms. */
const LOST_MS = 10_000;
const CATCH_UP_BOUND_MS = 60_000;
const POLL_MS = 20;
/** Between two tries to make one that could not be made, ms. */
const RETRY_MS = 10_000;

export interface KeeperPorts {
  /** The instance serves, and nothing else is done with it. */
  serves(): boolean;
  exclusively(work: () => Promise<void>): Promise<void>;
  proxy(): Proxy | null;
  /** The proxy says that the primary is gone. */
  primaryLost(): void;
  readonly signal: AbortSignal;
}

export class StandbyKeeper {
  readonly #instance: Instance;
  readonly #ports: KeeperPorts;
  #lag: StandbyLag | null = null;
  #connectedAtMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  #failedAtMs = -Infinity;

  /** Null: none is wanted. */
  static of(instance: Instance, ports: KeeperPorts): StandbyKeeper | null {
    return instance.record.spec.standby === undefined ? null : new StandbyKeeper(instance, ports);
  }

  private constructor(instance: Instance, ports: KeeperPorts) {
    this.#instance = instance;
    this.#ports = ports;
  }

  start(): void {
    this.#timer ??= setInterval(() => void this.#look(), LOOK_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  status(): StandbyStatus {
    const { spec, standby } = this.#instance.record;
    const lag = this.#lag;
    const state = !standby || !this.#fits ? 'missing' : lag?.streaming ? 'streaming' : 'catching-up';
    return {
      engine: standby?.engine ?? null,
      mode: spec.standby ?? 'async',
      state,
      synchronous: standby?.sync === true,
      lagBytes: state === 'missing' ? null : (lag?.lagBytes ?? null),
      lagMs: state === 'missing' ? null : (lag?.lagMs ?? null),
    };
  }

  /** One is there and streams when this resolves. Nothing else may be done with the instance meanwhile. */
  async ensure(onStep: OnStep): Promise<void> {
    const primary = this.#primary();
    await this.#noteSync(false);
    const standby = (await this.#running(onStep)) ?? (await this.#make(primary, onStep));
    await this.#caughtUp(primary, standby);
    if (this.#instance.record.spec.standby === 'sync') await this.#synchronize(primary, standby);
    this.#lag = await standbyLag(primary, standby.id);
    this.#connectedAtMs = performance.now();
    this.cover();
  }

  /** Sessions outlive the primary from now on, as long as this connection to the proxy lasts. */
  cover(): void {
    const { record } = this.#instance;
    const proxy = this.#ports.proxy();
    if (!proxy || record.primary === null || !this.#fits) return;
    const onProgress = (): void => this.#ports.primaryLost();
    // It ends with the connection; the next one covers anew.
    proxy.rpc.call('cover', { engine: record.primary }, { onProgress }).catch(() => undefined);
  }

  /** It is a standby of the engine that is the primary now. */
  get #fits(): boolean {
    const { standby, primary } = this.#instance.record;
    return standby !== undefined && standby.of === primary;
  }

  /** Null: it is what its primary is. A primary that was patched in place or resized is something else now. */
  #whyOther({ size, postgres }: EngineRecord): string | null {
    const { primary } = this.#instance;
    if (!primary || (primary.size === size && primary.postgres === postgres)) return null;
    return `the standby is PostgreSQL ${postgres} (${size}), its primary is ${primary.postgres} (${primary.size}) by now`;
  }

  #primary(): EngineRecord {
    const { primary, paths } = this.#instance;
    if (primary) return primary;
    throw new DbproxyError('DBP_INSTANCE_NOT_RUNNING', { name: paths.name });
  }

  /** The one on record, started if need be; null: it is of no use, and gone. */
  async #running(onStep: OnStep): Promise<EngineRecord | null> {
    const { record, provider, events } = this.#instance;
    const standby = this.#instance.engine(record.standby?.engine ?? null);
    if (!standby) return null;
    if (this.#fits && this.#whyOther(standby) === null) {
      try {
        const health = await provider.inspect(standby);
        if (health.state !== 'stopped') return { ...standby, process: health.process };
        onStep('standby', `starting ${standby.id}`);
        const started = await provider.start(standby);
        await this.#instance.putEngine({ ...started, role: 'standby' });
        events.append('standby.started', `standby ${standby.id} runs again`, { engine: standby.id });
        return started;
      } catch (error) {
        events.append('standby.lost', `standby ${standby.id} cannot be started: ${String(error)}`);
      }
    }
    await this.#discard(standby);
    return null;
  }

  async #make(primary: EngineRecord, onStep: OnStep): Promise<EngineRecord> {
    const { provider, events } = this.#instance;
    const id = await this.#instance.nextEngineId();
    onStep('standby', `making ${id}, a standby of ${primary.id}`);
    const { size, postgres } = primary;
    const options = this.#instance.provisionOptions(id, kindOf(primary), this.#ports.signal);
    const standby: EngineRecord = { ...(await provider.createStandby(primary, options)), role: 'standby' };
    await this.#instance.putEngine(standby, { standby: { engine: id, of: primary.id, sync: false } });
    events.append(
      'standby.started',
      `standby ${id} (${size}, PostgreSQL ${postgres}) follows ${primary.id}`,
      {
        engine: id,
        of: primary.id,
      },
    );
    return standby;
  }

  async #caughtUp(primary: EngineRecord, standby: EngineRecord): Promise<void> {
    const position = await flushedPosition(primary);
    await this.#until(
      () => standbyLag(primary, standby.id, position).then((lag) => lag?.streaming === true && lag.reached),
      standby,
    );
  }

  async #synchronize(primary: EngineRecord, standby: EngineRecord): Promise<void> {
    await this.#instance.provider.commitWith(primary, standby.id);
    // What was acknowledged before is there, too.
    const position = await flushedPosition(primary);
    await this.#until(
      () => standbyLag(primary, standby.id, position).then((lag) => lag?.synchronous === true && lag.reached),
      standby,
    );
    await this.#noteSync(true);
  }

  async #until(done: () => Promise<boolean>, { id }: EngineRecord): Promise<void> {
    const end = performance.now() + CATCH_UP_BOUND_MS;
    while (!(await done())) {
      this.#ports.signal.throwIfAborted();
      if (performance.now() > end) {
        const reason = `it has not caught up within ${CATCH_UP_BOUND_MS} ms`;
        throw new DbproxyError('DBP_ENGINE_STANDBY', { engine: id, reason });
      }
      await delay(POLL_MS);
    }
  }

  async #noteSync(sync: boolean): Promise<void> {
    const { standby } = this.#instance.record;
    if (standby && standby.sync !== sync) await this.#instance.update({ standby: { ...standby, sync } });
  }

  /** Commits do not wait for it any more. */
  async #letGo(): Promise<void> {
    const { primary, record, provider } = this.#instance;
    if (!primary || record.spec.standby !== 'sync') return;
    await this.#noteSync(false);
    await provider.commitWith(primary, null);
  }

  async #discard(standby: EngineRecord): Promise<void> {
    const { primary, provider } = this.#instance;
    await this.#letGo().catch(() => undefined);
    await provider.remove(standby);
    // On an engine that is no primary any more nobody keeps WAL for it.
    if (primary && this.#fits) await dropReplicationSlot(primary, standby.id).catch(() => undefined);
    const engines = this.#instance.record.engines.filter(({ id }) => id !== standby.id);
    await this.#instance.update({ engines, standby: undefined });
    this.#lag = null;
  }

  async #look(): Promise<void> {
    if (this.#looking || !this.#ports.serves()) return;
    this.#looking = true;
    try {
      const lost = await this.#whyLost();
      if (lost === null || !this.#ports.serves()) return;
      if (performance.now() - this.#failedAtMs < RETRY_MS) return;
      await this.#ports.exclusively(() => this.#replace(lost));
    } catch {
      // The primary is gone, or goes: that is for the watch to tell, and the next look tries again.
    } finally {
      this.#looking = false;
    }
  }

  /** Null: it follows. */
  async #whyLost(): Promise<string | null> {
    const { record, primary, provider } = this.#instance;
    const standby = this.#instance.engine(record.standby?.engine ?? null);
    if (!primary) return null;
    if (!standby || !this.#fits) return 'there is none of this primary';
    const other = this.#whyOther(standby);
    if (other !== null) return other;
    if (!(await provider.isRunning(standby))) return `standby ${standby.id} is gone`;
    this.#lag = await standbyLag(primary, standby.id);
    const now = performance.now();
    if (this.#lag?.streaming) this.#connectedAtMs = now;
    if (now - this.#connectedAtMs > LOST_MS) return `standby ${standby.id} does not follow`;
    // Its configuration was written anew, by a resize.
    const forgotten = record.standby?.sync === true && this.#lag?.streaming && !this.#lag.synchronous;
    return forgotten ? `commits do not wait for standby ${standby.id}` : null;
  }

  async #replace(reason: string): Promise<void> {
    if (!this.#ports.serves()) return;
    const { events, record } = this.#instance;
    this.#lag = null;
    if (record.standby) events.append('standby.lost', reason, { engine: record.standby.engine });
    await this.#letGo();
    try {
      await this.ensure(() => undefined);
    } catch (error) {
      this.#failedAtMs = performance.now();
      events.append(
        'standby.failed',
        `no standby yet: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
}
