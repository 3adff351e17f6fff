/** What a supervisor tells of its instance. Nothing here changes anything; whoever asks has waited for the first look at reality. */
import type { RpcContext } from '../rpc/index.js';
import { HOLDING_STEPS } from '../switchover/steps.js';
import type {
  InstanceState,
  LogEvent,
  OperationProgress,
  SupervisorApi,
  UpResult,
  Verdict,
  WriterStatus,
  WriterSummary,
} from './api.js';
import type { Autoscaler } from './autoscale/autoscaler.js';
import type { Instance } from './instance.js';
import type { Figures } from './metrics.js';
import { whyDiverged } from './multiwriter/diverged.js';
import type { Family } from './multiwriter/family.js';
import { proxyStatus, type Proxy } from './proxy-process.js';
import { sessionDetail } from './session-detail.js';
import type { StandbyKeeper } from './standby/keeper.js';
import { isUsers, StatusBoard, summaryOf } from './status.js';
import { urlOf } from './verify.js';

/** What only the engines know may be this old in the figures, ms. */
const METRICS_AGE_MS = 1_000;

export interface AnswersHost {
  readonly now: () => {
    readonly state: InstanceState;
    readonly operation: OperationProgress | null;
    readonly repaired: readonly string[];
  };
  readonly proxy: () => Proxy | null;
  /** Throws DBP_INSTANCE_NOT_RUNNING. */
  readonly runningProxy: () => Proxy;
  readonly autoscaler: Autoscaler;
  readonly family: Family | null;
  readonly standby: StandbyKeeper | null;
}

type Answer<Verb extends keyof SupervisorApi> = SupervisorApi[Verb]['result'];

export class Answers {
  readonly #instance: Instance;
  readonly #host: AnswersHost;
  readonly #board: StatusBoard;

  constructor(instance: Instance, host: AnswersHost) {
    this.#instance = instance;
    this.#host = host;
    this.#board = new StatusBoard(instance);
  }

  async status(maxAgeMs: number): Promise<Answer<'status'>> {
    const { now, proxy, autoscaler, family, standby } = this.#host;
    const [writers, store] = await Promise.all([this.#writers(), family?.store() ?? null]);
    const about = {
      ...{ ...now(), writers, store },
      ...{ autoscale: autoscaler.summary(), standby: standby?.status() ?? null },
    };
    return this.#board.status(proxy(), about, this.#agedOr(maxAgeMs));
  }

  async figures(): Promise<Figures> {
    const proxy = this.#host.proxy();
    const about = { ...this.#host.now(), autoscale: null, standby: null, writers: [], store: null };
    const [status, ofProxy] = await Promise.all([
      this.#board.status(proxy, about, this.#agedOr(METRICS_AGE_MS)),
      proxy && proxyStatus(proxy).catch(() => null),
    ]);
    return { status, proxy: ofProxy };
  }

  async sessions(): Promise<Answer<'sessions'>> {
    const sessions = await this.#board.sessions(this.#host.proxy());
    return { schema: 'dbproxy.sessions/1', instance: this.#instance.paths.name, sessions };
  }

  async session(id: number, withinMs: number): Promise<Answer<'session'>> {
    return sessionDetail(this.#instance, this.#host.runningProxy(), id, withinMs);
  }

  async check(params: SupervisorApi['check']['params']): Promise<Answer<'check'>> {
    const reports = await this.#host.runningProxy().rpc.call('check', params);
    const sessions = reports.filter(isUsers);
    return {
      schema: 'dbproxy.check/1',
      instance: this.#instance.paths.name,
      movable: sessions.every(({ movable }) => movable),
      sessions,
    };
  }

  async events(
    { after, follow }: SupervisorApi['events']['params'],
    context: RpcContext<LogEvent>,
  ): Promise<LogEvent[]> {
    if (!follow) return this.#instance.events.since(after);
    await this.#instance.events.follow(after, context.signal, (event) => context.progress(event));
    return [];
  }

  async verdicts(last: number, follow: boolean, context: RpcContext<Verdict>): Promise<readonly Verdict[]> {
    const verdicts = this.#host.family?.verdicts;
    if (!verdicts) return [];
    if (follow) {
      verdicts.follow((verdict) => context.progress(verdict), context.signal);
      await new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve()));
    }
    return verdicts.last(last);
  }

  async upResult(): Promise<UpResult> {
    const { record, password, paths } = this.#instance;
    const { spec } = record;
    const { pid, version, members } = await proxyStatus(this.#host.runningProxy());
    const url = urlOf(spec, password);
    return {
      schema: 'dbproxy.up/1',
      instance: spec.name,
      url,
      host: spec.host,
      port: spec.port,
      provider: spec.provider,
      providerReason: spec.providerReason,
      dataDir: paths.directory,
      socketDir: paths.clientSocketDirectory,
      tls: spec.tls?.mode ?? 'off',
      alreadyRunning: true,
      engines: record.engines.map(summaryOf),
      writers: (await this.#writers()).map(summaryOfWriter),
      proxy: { pid, version, ...(members ? { pids: members.map((each) => each.pid) } : {}) },
      readyMs: 0,
    };
  }

  /** As the one that this supervisor looks after, and all the others where it is the first. */
  async #writers(): Promise<WriterStatus[]> {
    const { record, password, paths } = this.#instance;
    const proxy = this.#host.proxy();
    const own = {
      ...{ instance: paths.name, url: urlOf(record.spec, password), port: record.spec.port },
      ...{ state: this.#host.now().state, engine: record.primary, proxyPid: proxy?.process.pid ?? null },
    };
    if (this.#host.family) return this.#host.family.writers(own);
    const writer = record.spec.writerOf?.writer ?? 1;
    const why = proxy && (await whyDiverged(record.spec, proxy).catch(() => null));
    return [
      { id: `w${writer}`, leads: writer === 1, ...own, reason: why === null ? null : `diverged: ${why}` },
    ];
  }

  /** While sessions are held, nobody asks the engines anything that can wait. */
  #agedOr(maxAgeMs: number): number {
    const isHolding = HOLDING_STEPS.some((step) => step === this.#host.now().operation?.step);
    return maxAgeMs > 0 && isHolding ? Infinity : maxAgeMs;
  }
}

const summaryOfWriter = ({ id, instance, url, port }: WriterStatus): WriterSummary => ({
  ...{ id, instance, url, port },
});
