/**
 * Has the size follow the load, if that is wanted.
 *
 *   off ──on──▶ looking ──sample──▶ decide ──▶ none
 *    ▲            ▲ ▲                 ├──────▶ stay: why, said once ─┐
 *    └────off─────┘ └─────────────────┴──────▶ scale: as by hand ────┘  then the cool-down; after a failure twice as long each time
 *
 * Crash-only: what must not be forgotten (memory.ts) is on disk before it is acted upon. What was measured is not: a new
 * supervisor looks for the whole time again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { capSize } from '../../engine/index.js';
import { SIZE_NAMES, type EngineProvider, type SizeName } from '../../engine/types.js';
import { DbproxyError } from '../../errors/index.js';
import type { MoveRecord } from '../api.js';
import type { Instance } from '../instance.js';
import { beyond, decide, loadOf, type Cpus, type Decision, type Sample, type Situation } from './decide.js';
import { AutoscaleMemory } from './memory.js';
import { changed } from './policy.js';
import { lookEveryMs, Sampler } from './sampler.js';
import type { AutoscalePolicy, AutoscaleResult, AutoscaleSummary, LastDecision } from './types.js';
import { seconds, stayInWords, wishInWords } from './words.js';

export interface AutoscalerPorts {
  /** Asked for usage by nobody else. */
  readonly meter: Pick<EngineProvider, 'usage'>;
  /** Is there something to look at, and which operation is under way? */
  readonly now: () => { readonly serves: boolean; readonly operation: string | null };
  /** Throws DBP_INSTANCE_BUSY, and what `scale` throws. */
  readonly scale: (to: SizeName) => Promise<MoveRecord>;
}

type Scale = Extract<Decision, { kind: 'scale' }>;
type Stay = Extract<Decision, { kind: 'stay' }>;

export class Autoscaler {
  readonly #instance: Instance;
  readonly #ports: AutoscalerPorts;
  readonly #memory: AutoscaleMemory;
  readonly #sampler: Sampler;
  #samples: readonly (Sample & { readonly key: string })[] = [];
  /** What was said last of not acting, so that it is not said again each second. */
  #said = '';
  #loop: AbortController | null = null;

  constructor(instance: Instance, ports: AutoscalerPorts) {
    this.#instance = instance;
    this.#ports = ports;
    this.#memory = new AutoscaleMemory(instance.directory);
    this.#sampler = new Sampler(ports.meter);
  }

  // --- what is asked for ------------------------------------------------------------------------------------------------

  /** Goes on where the last supervisor left off. */
  async start(): Promise<void> {
    try {
      await this.#memory.load();
    } catch (error) {
      // Everything else works without it.
      this.#report('autoscale.off', `off until the next autoscale on: ${DbproxyError.from(error).message}`);
    }
    if (!this.#memory.record.enabled) return;
    await this.#settleLast();
    this.#look();
  }

  async stop(): Promise<void> {
    this.#loop?.abort();
    this.#loop = null;
    this.#samples = [];
    await this.#sampler.close();
    await this.#memory.settled();
  }

  /** On, with what is named changed. Again: another policy, at once. Throws DBP_USAGE_AUTOSCALE. */
  async on(change: Partial<AutoscalePolicy>): Promise<AutoscaleResult> {
    const before = this.#memory.record;
    const policy = changed(before.policy, change);
    const isNew = !before.enabled || JSON.stringify(policy) !== JSON.stringify(before.policy);
    // Whoever asks may have removed what made the last attempts fail.
    await this.#memory.change({ enabled: true, policy, failures: 0 });
    if (isNew) this.#report('autoscale.on', `on, ${policy.min} to ${policy.max}`, { policy });
    this.#said = '';
    this.#look();
    await this.#instance.events.flush();
    return this.status();
  }

  async off(): Promise<AutoscaleResult> {
    if (this.#memory.record.enabled) {
      await this.#memory.change({ enabled: false });
      this.#report('autoscale.off', 'off: the size stays as it is');
    }
    await this.stop();
    await this.#instance.events.flush();
    return this.status();
  }

  status(): AutoscaleResult {
    const { enabled, policy, failures, last } = this.#memory.record;
    const size = this.#instance.primary?.size ?? null;
    const cpus = cpusOfSizes();
    const newest = this.#samples.at(-1);
    const since = size && beyond(policy, { size, cpus, samples: this.#samples });
    return {
      schema: 'dbproxy.autoscale/1',
      instance: this.#instance.paths.name,
      ...{ enabled, policy, size },
      cpus: size && cpus[size],
      load: newest && size ? rounded(loadOf(newest, cpus[size])) : null,
      beyond: since && { ...since, forMs: Math.round(since.forMs) },
      coolDownMs: this.#memory.coolDownMs,
      // The one under way is counted ahead (#scale).
      ...{ failures: isUnderWay(last) ? failures - 1 : failures, last },
    };
  }

  /** Null: nobody has ever asked for it. */
  summary(): AutoscaleSummary | null {
    if (!this.#memory.exists) return null;
    const { enabled, policy, load, beyond, coolDownMs, failures } = this.status();
    const { min, max, forMs } = policy;
    return { enabled, min, max, forMs, load, beyond, coolDownMs, failures };
  }

  // --- looking ----------------------------------------------------------------------------------------------------------

  #look(): void {
    if (this.#loop) return;
    this.#loop = new AbortController();
    void this.#lookUntil(this.#loop.signal);
  }

  async #lookUntil(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#lookOnce(signal);
      } catch (error) {
        // Nothing here may end the supervisor: the next look is another one.
        const { message } = DbproxyError.from(error);
        if (this.#said !== message) this.#report('autoscale.failed', message);
        this.#said = message;
      }
      const pauseMs = lookEveryMs(this.#memory.record.policy.forMs);
      await delay(pauseMs, undefined, { ref: false, signal }).catch(() => undefined);
    }
  }

  async #lookOnce(signal: AbortSignal): Promise<void> {
    const { primary } = this.#instance;
    if (!primary || !this.#ports.now().serves) {
      this.#samples = [];
      await this.#sampler.close();
      return;
    }
    await this.#noteSize(primary.size);
    const sample = await this.#sampler.look(primary);
    if (sample === null || signal.aborted) return;
    const oldestMs = sample.toMs - 2 * this.#memory.record.policy.forMs;
    const known = this.#samples.filter(({ key, toMs }) => key === sample.key && toMs > oldestMs);
    this.#samples = [...known, sample];
    await this.#act(primary.size);
  }

  /** Whoever changed the size, by hand or by another's decision: the cool-down counts from here. */
  async #noteSize(size: SizeName): Promise<void> {
    const before = this.#memory.record.size;
    if (before === size) return;
    const rests = before === null ? {} : { restsSince: new Date().toISOString(), failures: 0 };
    await this.#memory.change({ size, ...rests });
  }

  // --- acting -----------------------------------------------------------------------------------------------------------

  async #act(size: SizeName): Promise<void> {
    const { operation } = this.#ports.now();
    const situation: Situation = {
      ...{ size, cpus: cpusOfSizes(), samples: this.#samples, isBusy: operation !== null },
      coolDownMs: this.#memory.coolDownMs,
    };
    const decision = decide(this.#memory.record.policy, situation);
    if (decision.kind === 'none') this.#said = '';
    else if (decision.kind === 'stay') await this.#stay(situation, decision, operation);
    else await this.#scale(situation, decision);
  }

  /** Said when it begins to be so, not each second. */
  async #stay(
    { size, cpus, coolDownMs }: Situation,
    decision: Stay,
    operation: string | null,
  ): Promise<void> {
    const { direction, to, why } = decision;
    const saying = `${direction} ${why}`;
    if (this.#said === saying) return;
    this.#said = saying;
    const now = { operation, coolDownMs };
    const message = stayInWords(size, decision, this.#memory.record.policy, cpus, now);
    this.#report('autoscale.stay', message, { ...dataOf(size, decision), why, ...now });
    const at = new Date().toISOString();
    const last = { at, decision: 'stay', direction, from: size, to, why, message, outcome: null } as const;
    await this.#memory.change({ last });
  }

  async #scale({ size, cpus }: Situation, decision: Scale): Promise<void> {
    const { to, direction } = decision;
    const { policy, failures, restsSince } = this.#memory.record;
    const message = wishInWords(size, decision, policy, cpus);
    const at = new Date().toISOString();
    const last: LastDecision = {
      ...{ at, decision: 'scale', direction, from: size, to, why: null, message, outcome: null },
    };
    this.#said = '';
    // Counted as failed until it has not: a supervisor that dies of it does not try again at once.
    await this.#memory.change({ restsSince: at, failures: failures + 1, last });
    this.#report('autoscale.scale', message, dataOf(size, decision));
    await this.#sampler.close();
    try {
      const { outcome, error } = await this.#ports.scale(to);
      await this.#ended(last, outcome === 'completed' ? null : (error?.message ?? outcome));
    } catch (thrown) {
      const error = DbproxyError.from(thrown);
      // Somebody else was faster: that is no failure, and the next look finds them at work.
      if (error.code === 'DBP_INSTANCE_BUSY') await this.#memory.change({ restsSince, failures });
      else await this.#ended(last, error.message);
    }
  }

  async #ended(last: LastDecision, failure: string | null): Promise<void> {
    const restsSince = new Date().toISOString();
    this.#samples = [];
    if (failure === null) {
      const done = { ...last, outcome: 'completed' } as const;
      await this.#memory.change({ size: last.to, restsSince, failures: 0, last: done });
      return;
    }
    await this.#memory.change({ restsSince, last: { ...last, outcome: 'rolled-back' } });
    // Ours to end: nobody waits for another attempt.
    if (this.#loop === null) return;
    const { coolDownMs, record } = this.#memory;
    const { from, to } = last;
    this.#report('autoscale.failed', `stays ${from}, not again for ${seconds(coolDownMs)}: ${failure}`, {
      ...{ from, to, failures: record.failures, coolDownMs, reason: failure },
    });
  }

  /** The supervisor before this one died while it scaled; how that ended stands in the record of the instance. */
  async #settleLast(): Promise<void> {
    const { last } = this.#memory.record;
    if (!isUnderWay(last)) return;
    if (this.#instance.primary?.size !== last.to) {
      await this.#memory.change({ last: { ...last, outcome: 'rolled-back' } });
      return;
    }
    await this.#memory.change({ size: last.to, failures: 0, last: { ...last, outcome: 'completed' } });
  }

  #report(type: string, message: string, data?: Readonly<Record<string, unknown>>): void {
    this.#instance.events.append(type, message, data);
  }
}

const cpusOfSizes = (): Cpus =>
  Object.fromEntries(SIZE_NAMES.map((size) => [size, capSize(size).cpus])) as Record<SizeName, number>;

const dataOf = (from: SizeName, { direction, to, reasons }: Scale | Stay) => ({
  ...{ direction, from, to },
  reasons: reasons.map((reason) => rounded(reason)),
});

/** Measurements are told to a tenth. */
function rounded<T extends object>(figures: T): T {
  const round = (value: unknown): unknown =>
    typeof value === 'number' ? Math.round(value * 10) / 10 : value;
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, round(value)])) as T;
}

const isUnderWay = (last: LastDecision | null): last is LastDecision =>
  last?.decision === 'scale' && last.outcome === null;
