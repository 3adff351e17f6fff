/**
 * The supervisor of one instance: owns its record and its engines, runs its operations, repairs what dies.
 *
 *   starting ──ensure──▶ running ◀──▶ operating (move)            one thing at a time: `#exclusively`
 *                          │  ▲  something died: ensure again
 *                          ▼  │
 *                        degraded (ensure failed; tried again)           any state ──down──▶ stopping ──▶ exit
 *
 * Crash-only: it keeps nothing that it could not lose. Proxy and engines live on when it dies; its successor looks at what
 * runs and goes on from there.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../errors/index.js';
import { blamingFullDisk, unlessNoRoom } from '../errors/no-room.js';
import { faultPoint } from '../fault-point.js';
import type { RpcContext, RpcHandlers } from '../rpc/index.js';
import type {
  DownResult,
  HandoverRecord,
  InstanceState,
  MoveParams,
  MoveRecord,
  OperationProgress,
  SupervisorApi,
  UpResult,
} from './api.js';
import { Answers } from './answers.js';
import { Autoscaler } from './autoscale/autoscaler.js';
import { ensureRunning } from './ensure.js';
import type { Instance } from './instance.js';
import { Metrics } from './metrics.js';
import { giveUpEngine, whyDiverged } from './multiwriter/diverged.js';
import { Family } from './multiwriter/family.js';
import { withInstanceLockIfFree } from './lock.js';
import { MOVE_DEFAULTS } from './move-defaults.js';
import type { OperationContext } from './operations/move.js';
import { patch } from './operations/patch.js';
import { replaceProxy } from './operations/replace-proxy.js';
import { scale } from './operations/scale.js';
import { type Given, OperationSlot } from './operations/slot.js';
import { createOperations } from './provider.js';
import { isAlive } from './processes.js';
import { findProxy, isWhole, recordedProxies, type Proxy } from './proxy-process.js';
import { StandbyKeeper } from './standby/keeper.js';
import { removeData, stopEverything } from './teardown.js';
import { renewCertificate } from './tls/renewal.js';
import { Watch, type Loss } from './watch.js';

/** After a start that failed: how long whoever began it may take to ask, ms. */
const ASKED_BOUND_MS = 2_000;
/** Pauses between attempts to repair what does not come back. */
const REPAIR_PAUSES_MS = [0, 500, 1_000, 2_000, 5_000];
/** While it runs nobody else's can: one that was not asked for is given up sooner, and comes again later. */
const AUTOSCALE_LIMITS: MoveParams = { ...MOVE_DEFAULTS, deadlineMs: 60_000 };
/** How long `down` waits for an operation to give up. */
const GIVE_UP_BOUND_MS = 30_000;

export class Supervisor {
  readonly #instance: Instance;
  readonly #answers: Answers;
  readonly #slot: OperationSlot;
  readonly #watch: Watch;
  readonly #autoscaler: Autoscaler;
  /** The other writers and the store, where this is the first of several. */
  readonly #family: Family | null;
  readonly #standby: StandbyKeeper | null;
  readonly #end = new AbortController();
  #state: InstanceState = 'starting';
  #proxy: Proxy | null = null;
  #metrics: Metrics | null = null;
  #repaired: readonly string[] = [];
  #ready: Promise<void> = Promise.resolve();
  #queue: Promise<unknown> = Promise.resolve();
  #failedRepairs = 0;
  /** Degraded by what may be over at any moment, and nobody tells: a full disk. */
  #triesAgain = false;
  /** Told once, not at each attempt. */
  #lastFailure = '';
  /** Resolves when somebody waits for the start. */
  #markAsked: () => void = () => undefined;
  readonly #asked = new Promise<void>((resolve) => (this.#markAsked = resolve));
  readonly #progressListeners = new Set<(step: string, detail: string) => void>();
  /** Resolves when this process has nothing left to do: the instance is down. */
  readonly ended: Promise<void>;
  #markEnded: () => void = () => undefined;

  constructor(instance: Instance) {
    this.#instance = instance;
    this.#slot = new OperationSlot(instance.paths.name);
    this.#watch = new Watch(
      instance.provider,
      () =>
        this.#state === 'running' || this.#state === 'degraded'
          ? { proxy: this.#proxy, primary: instance.primary, triesAgain: this.#triesAgain }
          : null,
      (losses) => this.#onLoss(losses),
    );
    this.#autoscaler = new Autoscaler(instance, {
      // One of its own: usage is that since the last question.
      meter: createOperations(instance.record.spec.provider, instance.paths),
      now: () => ({
        serves: this.#state === 'running' || this.#state === 'operating',
        operation: this.#slot.running && (this.#slot.running.id || this.#slot.running.operation),
      }),
      scale: (to) => this.#operate('scale', {}, (on) => scale(on, { to, ...AUTOSCALE_LIMITS })),
    });
    this.#family = Family.of(instance);
    this.#standby = StandbyKeeper.of(instance, {
      serves: () => this.#state === 'running' && !this.#slot.running,
      exclusively: (work) => this.#exclusively(work),
      proxy: () => this.#proxy,
      primaryLost: () => void this.#watch.look(),
      signal: this.#end.signal,
    });
    this.#answers = new Answers(instance, {
      ...{ autoscaler: this.#autoscaler, family: this.#family, standby: this.#standby },
      now: () => ({ state: this.#state, operation: this.#slot.running, repaired: this.#repaired }),
      proxy: () => this.#proxy,
      runningProxy: () => this.#runningProxy(),
    });
    this.ended = new Promise((resolve) => (this.#markEnded = resolve));
  }

  /** Brings the instance to where it should be; `ready` tells how that ended. */
  start(): void {
    this.#ready = this.#exclusively(() => this.#firstEnsure());
    this.#ready.catch(() => undefined);
  }

  get handlers(): RpcHandlers<SupervisorApi> {
    return {
      ready: ({ all = false }, context) => this.#awaitReady(all, context),
      status: ({ maxAgeMs = 0 }) => this.#settled().then(() => this.#answers.status(maxAgeMs)),
      sessions: () => this.#settled().then(() => this.#answers.sessions()),
      session: ({ id, withinMs }) => this.#settled().then(() => this.#answers.session(id, withinMs)),
      check: (params) => this.#settled().then(() => this.#answers.check(params)),
      scale: (params, context) => this.#operate('scale', context, (on) => scale(on, params)),
      patch: (params, context) => this.#operate('patch', context, (on) => patch(on, params)),
      cancel: () => this.#slot.cancel(),
      goOn: () => {
        this.#slot.goOn();
        return null;
      },
      autoscaleOn: (change) => this.#settled().then(() => this.#autoscaler.on(change)),
      autoscaleOff: () => this.#settled().then(() => this.#autoscaler.off()),
      autoscale: () => this.#settled().then(() => this.#autoscaler.status()),
      replaceProxy: (limits, context) =>
        this.#operate('patch', context, async (on) => {
          const { proxy, record } = await replaceProxy(on, limits, this.#family);
          this.#adopt(proxy);
          return record;
        }),
      retire: () => this.#retire(),
      events: (params, context) => this.#answers.events(params, context),
      holdBack: async ({ writer, delayMs, forMs }) => {
        await this.#family?.holdBack(writer, delayMs, forMs);
        return null;
      },
      verdicts: ({ last, follow }, context) => this.#answers.verdicts(last, follow, context),
      down: ({ purge }) => this.down(purge),
    };
  }

  // --- start and repair -------------------------------------------------------------------------------------------------

  async #firstEnsure(): Promise<void> {
    const { events, paths } = this.#instance;
    events.append('supervisor.started', `supervisor ${process.pid} of ${paths.name} started`, {
      pid: process.pid,
    });
    const hadNothing = (await stateBefore(this.#instance)) === 'nothing runs';
    try {
      await this.#openMetrics(hadNothing);
      await this.#ensureAgreeing();
      await this.#standby?.ensure(this.#tellStep);
      await this.#family?.ensureFurther(this.#tellStep, hadNothing);
    } catch (error) {
      if (hadNothing) {
        await this.#giveUpStart(error);
        throw error;
      }
      await this.#notRepaired(error);
      await this.#lookAfter();
      throw error;
    }
    events.append(
      'instance.up',
      `instance ${paths.name} is ready on port ${this.#instance.record.spec.port}`,
    );
    await this.#lookAfter();
  }

  /** A start without its figures fails; what runs already is not given up for them. */
  async #openMetrics(isStart: boolean): Promise<void> {
    const { metricsPort } = this.#instance.record.spec;
    if (metricsPort === undefined) return;
    try {
      this.#metrics = await Metrics.open(metricsPort, () =>
        this.#settled().then(() => this.#answers.figures()),
      );
    } catch (error) {
      if (isStart) throw error;
      this.#report('metrics.failed', messageOf(error));
    }
  }

  async #lookAfter(): Promise<void> {
    this.#watch.start();
    renewCertificate(this.#instance);
    this.#family?.watch();
    this.#standby?.start();
    await this.#autoscaler.start();
  }

  async #ensure(): Promise<void> {
    const { proxy, repaired } = await ensureRunning(
      this.#instance,
      this.#tellStep,
      this.#end.signal,
      this.#family,
    );
    if (proxy !== this.#proxy) this.#adopt(proxy);
    this.#repaired = repaired;
    this.#failedRepairs = 0;
    this.#triesAgain = false;
    this.#lastFailure = '';
    if (this.#state !== 'stopping') this.#state = 'running';
    if (repaired.length > 0) this.#report('supervisor.repaired', repaired.join('; '));
  }

  /** As `#ensure`, for somebody who wants it up: an engine that holds other rows than the log is made anew. */
  async #ensureAgreeing(): Promise<void> {
    try {
      await this.#ensure();
    } catch (error) {
      if (!isDiverged(error)) throw error;
      await this.#buildAgain();
    }
  }

  async #buildAgain(): Promise<void> {
    const { name } = this.#instance.paths;
    const before = this.#instance.record.primary ?? '';
    this.#state = 'operating';
    this.#report(
      'writer.lost',
      `engine ${before} of writer ${name} is given up: it holds other rows than the log`,
    );
    try {
      await giveUpEngine(this.#instance);
      await this.#ensure();
    } catch (error) {
      this.#state = 'degraded';
      throw error;
    }
    this.#report(
      'writer.started',
      `writer ${name} was built again as a copy: ${this.#instance.record.primary ?? ''}`,
    );
  }

  readonly #tellStep = (step: string, detail: string): void =>
    this.#progressListeners.forEach((tell) => tell(step, detail));

  #adopt(proxy: Proxy): void {
    this.#proxy?.rpc.close();
    this.#proxy = proxy;
    this.#standby?.cover();
    // The end of the connection says it earlier than the next look.
    void proxy.rpc.closed.then(() => {
      if (this.#proxy === proxy) void this.#watch.look();
    });
  }

  /** A first start that failed leaves nothing running, and nobody starts it again by itself. */
  async #giveUpStart(error: unknown): Promise<void> {
    this.#state = 'stopping';
    const { directory, events } = this.#instance;
    this.#report('instance.down', `the start failed: ${messageOf(error)}`);
    await this.#stopAll(false).catch((failure: unknown) => {
      this.#report('instance.down', `not everything could be stopped: ${messageOf(failure)}`);
    });
    await this.#noteStopped();
    await events.flush();
    await faultPoint('given-up');
    // Nothing was made: nothing is to be kept, and the next `up` starts with its own settings. One that has begun (it has the lock, and
    // waits for our end) goes on with ours; what it is about to use is not removed under it.
    if (this.#instance.record.engines.length === 0) {
      await withInstanceLockIfFree(directory.paths, async () => {
        await removeData(directory).catch(() => undefined);
        await directory.purge();
      });
    }
    // Who launched us finds us by our socket, and is to learn why.
    await Promise.race([this.#asked, pause(ASKED_BOUND_MS)]);
    setImmediate(() => this.#markEnded());
  }

  async #onLoss(losses: readonly Loss[]): Promise<void> {
    if (this.#state !== 'running' && this.#state !== 'degraded') return;
    this.#state = 'degraded';
    if (this.#failedRepairs === 0) for (const loss of losses) await this.#reportLoss(loss);
    const pauseMs = REPAIR_PAUSES_MS[Math.min(this.#failedRepairs, REPAIR_PAUSES_MS.length - 1)] ?? 0;
    await pause(pauseMs, this.#end.signal);
    await this.#exclusively(async () => {
      if (this.#state !== 'degraded') return;
      try {
        await this.#ensure();
      } catch (error) {
        await this.#notRepaired(error);
      }
    });
  }

  async #notRepaired(error: unknown): Promise<void> {
    await this.#adoptWhatRuns();
    this.#state = 'degraded';
    this.#failedRepairs++;
    // Of a writer that holds other rows than the log nothing but `up` makes another one.
    this.#triesAgain = !isDiverged(error);
    const failure = messageOf(error);
    if (failure !== this.#lastFailure) this.#report('supervisor.repaired', `not repaired yet: ${failure}`);
    this.#lastFailure = failure;
  }

  /** Clients may be served by a proxy that was found, or started, by the repair that failed behind it. */
  async #adoptWhatRuns(): Promise<void> {
    if (this.#proxy && isWhole(this.#proxy) && this.#proxy.members.every(({ process }) => isAlive(process)))
      return;
    const proxy = await findProxy(this.#instance.directory);
    if (proxy) this.#adopt(proxy);
  }

  async #reportLoss(loss: Loss): Promise<void> {
    if (loss.what === 'proxy') this.#report('proxy.lost', `proxy ${loss.pid ?? ''} is gone`);
    else {
      const { id, process: postmaster, container } = loss.engine;
      const health = await this.#instance.provider.inspect(loss.engine).catch(() => null);
      const reason = health?.state === 'stopped' && health.reason ? `: ${health.reason}` : '';
      this.#report(
        'engine.lost',
        `engine ${id} (${postmaster?.pid ?? container?.name ?? '?'}) is gone${reason}`,
      );
    }
  }

  // --- questions --------------------------------------------------------------------------------------------------------

  async #awaitReady(all: boolean, context: RpcContext<{ step: string; detail: string }>): Promise<UpResult> {
    this.#markAsked();
    const tell = (step: string, detail: string): void => context.progress({ step, detail });
    this.#progressListeners.add(tell);
    context.signal.addEventListener('abort', () => this.#progressListeners.delete(tell));
    try {
      await this.#ready.catch((error: unknown) => this.#tryAgain(error));
      await this.#lookOnce();
      await this.#exclusively(() => this.#buildAgainIfDiverged());
      await this.#family?.ensureFurther(tell, all);
      return await this.#answers.upResult();
    } finally {
      this.#progressListeners.delete(tell);
    }
  }

  /** Whoever asks may come before the watch has looked, or in the middle of a repair. */
  async #lookOnce(): Promise<void> {
    if (this.#state !== 'running' && this.#state !== 'degraded') return;
    await this.#watch.look();
    if (this.#state === 'degraded') await this.#repairDegraded();
  }

  async #buildAgainIfDiverged(): Promise<void> {
    if (this.#state !== 'running' || !this.#proxy) return;
    if ((await whyDiverged(this.#instance.record.spec, this.#proxy)) !== null) await this.#buildAgain();
  }

  /** A first repair that failed is no verdict for ever: whoever asks has it tried again. */
  async #tryAgain(error: unknown): Promise<void> {
    if (this.#state === 'stopping') throw error;
    await this.#repairDegraded();
  }

  async #repairDegraded(): Promise<void> {
    await this.#exclusively(async () => {
      if (this.#state === 'degraded') await this.#ensureAgreeing();
    });
  }

  // --- operations -------------------------------------------------------------------------------------------------------

  /** Refused while another operation runs; waits for a repair. Throws DBP_INSTANCE_BUSY. */
  #operate<Done extends MoveRecord | HandoverRecord>(
    operation: 'scale' | 'patch',
    caller: Partial<RpcContext<OperationProgress>>,
    work: (on: OperationContext) => Promise<Done>,
  ): Promise<Done> {
    return this.#slot.take(operation, (given) =>
      this.#settled().then(() => this.#exclusively(() => this.#run(work, given, caller))),
    );
  }

  async #run<Done extends MoveRecord | HandoverRecord>(
    work: (on: OperationContext) => Promise<Done>,
    given: Given,
    caller: Partial<RpcContext<OperationProgress>>,
  ): Promise<Done> {
    // The one before is not settled yet, and another engine may be the primary than stands on record.
    if (await this.#instance.directory.readOperation()) await this.#ensure();
    const proxy = this.#runningProxy();
    this.#state = 'operating';
    try {
      const onProgress = (progress: OperationProgress): void => {
        given.tell(progress);
        caller.progress?.(progress);
      };
      const signal = AbortSignal.any([this.#end.signal, given.signal]);
      const context = { ...given, instance: this.#instance, proxy, onProgress, signal };
      const record = await work(context);
      if ('outcome' in record && record.outcome === 'rolled-back') await this.#afterFailure();
      return record;
    } catch (cause) {
      const error = await blamingFullDisk(this.#instance.paths.enginesDirectory, cause);
      await this.#afterFailure();
      throw error;
    } finally {
      if (this.#state === 'operating') this.#state = 'running';
    }
  }

  /** Whatever made the operation fail may have died, and whatever it left half-done is settled. */
  async #afterFailure(): Promise<void> {
    if (this.#end.signal.aborted) return;
    try {
      await this.#ensure();
    } catch (error) {
      await this.#notRepaired(error);
    }
  }

  /** The instance stays as it is: a new supervisor, of another build maybe, finds it so. */
  async #retire(): Promise<{ pid: number }> {
    this.#slot.assertFree();
    await this.#settled();
    return this.#exclusively(async () => {
      this.#watch.stop();
      this.#state = 'stopping';
      this.#metrics?.close();
      await this.#family?.stop();
      await this.#autoscaler.stop();
      this.#standby?.stop();
      this.#report('supervisor.retired', `supervisor ${process.pid} makes way for another one`);
      await this.#instance.events.flush();
      setImmediate(() => this.#markEnded());
      return { pid: process.pid };
    });
  }

  // --- down -------------------------------------------------------------------------------------------------------------

  /** Everything of the instance but its directory and this process, which ends soon after (`ended`). */
  async down(purge: boolean): Promise<DownResult> {
    const { events, paths } = this.#instance;
    this.#state = 'stopping';
    this.#watch.stop();
    this.#metrics?.close();
    void this.#autoscaler.stop();
    this.#standby?.stop();
    const reason = new DbproxyError('DBP_INSTANCE_NOT_RUNNING', { name: paths.name });
    this.#end.abort(reason);
    await Promise.race([this.#queue.catch(() => undefined), pause(GIVE_UP_BOUND_MS)]);
    await this.#noteStopped();
    const stopped = await this.#stopAll(purge);
    this.#report('instance.down', `instance ${paths.name} is down`, { stopped });
    await events.flush();
    setImmediate(() => this.#markEnded());
    return { schema: 'dbproxy.down/1', instance: paths.name, wasRunning: true, purged: purge, stopped };
  }

  /** Stopping does not depend on it: on a full disk the next command may start the instance again. */
  async #noteStopped(): Promise<void> {
    await this.#instance.update({ wanted: 'stopped' }).catch(unlessNoRoom);
  }

  /** The other writers first: they need the storage nodes until they have ended. */
  async #stopAll(purge: boolean): Promise<string[]> {
    await this.#family?.stop();
    const further = (await this.#family?.stopFurther(purge)) ?? [];
    return [...further, ...(await stopEverything(this.#instance.directory))];
  }

  // --- common -----------------------------------------------------------------------------------------------------------

  /** One repair or operation at a time; what comes later waits. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#queue.then(work, work);
    this.#queue = run.catch(() => undefined);
    return run;
  }

  /** Every answer comes after the first look at reality. A start that failed is told by what is asked for next. */
  async #settled(): Promise<void> {
    await this.#ready.catch(() => undefined);
  }

  #runningProxy(): Proxy {
    if (this.#proxy) return this.#proxy;
    throw new DbproxyError('DBP_INSTANCE_NOT_RUNNING', { name: this.#instance.paths.name });
  }

  #report(type: string, message: string, data?: Readonly<Record<string, unknown>>): void {
    this.#instance.events.append(type, message, data);
  }
}

/** Is this a start, or does a new supervisor come to an instance that lives? */
async function stateBefore(instance: Instance): Promise<'nothing runs' | 'something runs'> {
  const { provider, directory, primary } = instance;
  // A container runtime that does not answer runs nothing that could be used.
  const engine = primary && (await provider.inspect(primary).catch(() => null));
  if (engine && engine.state !== 'stopped') return 'something runs';
  return (await recordedProxies(directory)).length > 0 ? 'something runs' : 'nothing runs';
}

const isDiverged = (error: unknown): boolean =>
  error instanceof DbproxyError && error.code === 'DBP_WRITER_DIVERGED';

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(ms, undefined, { ref: false, ...(signal ? { signal } : {}) }).catch(() => undefined);
}
