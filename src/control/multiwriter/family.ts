/**
 * What the supervisor of the first writer looks after beside its own proxy and engine: the storage nodes, the other writers
 * (whose supervisors look after what is theirs), and who of them leads.
 *
 *   nodes ──▶ own proxy and engine ──▶ somebody leads ──▶ the other writers, as copies ──▶ a look at all of it, again and again
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../../errors/index.js';
import type { WriterEvent } from '../../multiwriter/writer/config.js';
import type { MultiwriterSpec, NodeReplaced, StoreStatus, WriterStatus } from '../api.js';
import { connectSupervisor, startInstance, stopInstance } from '../client.js';
import type { Beside, OnStep } from '../ensure.js';
import { InstanceDirectory } from '../instance-directory.js';
import type { Instance } from '../instance.js';
import { findFreePort } from '../port-holder.js';
import { isAlive, waitForExit } from '../processes.js';
import { isBuiltAgain } from './diverged.js';
import { Election } from './election.js';
import { foundEtcdStore } from './etcd-store.js';
import { recordedProxies } from '../proxy-process.js';
import { asTlsRequest } from '../tls/index.js';
import { writerName, type WriterNumber } from './names.js';
import { ensureNode, holdBack, replaceNode, waitForService, whyEnded } from './nodes.js';
import { storeStatus, writerStatuses } from './status.js';
import { StoreDirectory, type StoreNode } from './store-directory.js';
import { verdictLine, Verdicts, type Verdict } from './verdicts.js';

const LOOK_EVERY_MS = 500;
/** A supervisor whose start has failed has stopped everything before it says so. */
const GIVEN_UP_BOUND_MS = 5_000;
/** Pauses between attempts to start again what does not stay. */
const PAUSES_MS = [0, 500, 1_000, 2_000, 5_000, 15_000];

const VERDICTS_PER_SECOND = 5;

interface Patience {
  failures: number;
  notBeforeMs: number;
}

export class Family implements Beside {
  readonly #instance: Instance;
  readonly #spec: MultiwriterSpec;
  readonly #store: StoreDirectory;
  readonly #nodes: readonly StoreNode[];
  readonly #election: Election;
  readonly verdicts = new Verdicts();
  readonly #end = new AbortController();
  readonly #patience = new Map<string, Patience>();
  #watching: Promise<void> | null = null;
  #logged = { second: 0, count: 0 };
  #nodesTurn: Promise<void> = Promise.resolve();

  constructor(instance: Instance, spec: MultiwriterSpec) {
    this.#instance = instance;
    this.#spec = spec;
    this.#store = new StoreDirectory(instance.paths);
    this.#nodes = spec.store === undefined ? this.#store.nodes(spec.quorums) : [];
    this.#election = new Election(instance, spec, this.#store, (event) => this.#heard(event));
    this.verdicts.follow((verdict) => this.#tellVerdict(verdict), this.#end.signal);
  }

  /** Null: it has one writer, or is a further one. */
  static of(instance: Instance): Family | null {
    const { multiwriter } = instance.record.spec;
    return multiwriter ? new Family(instance, multiwriter) : null;
  }

  // --- to where it should be --------------------------------------------------------------------------------------------

  /** Enough storage nodes vote, or etcd is there. The first time it takes all of them: then one without its log has lost it. */
  async before(onStep: OnStep, report: (repair: string) => void): Promise<void> {
    if (this.#spec.store !== undefined) {
      onStep('store', this.#spec.store);
      return foundEtcdStore(this.#store);
    }
    const record = await this.#store.open();
    await this.#store.create(this.#nodes);
    const { quorums } = this.#spec;
    onStep('store', `${this.#nodes.length} storage nodes`);
    const started = await Promise.allSettled(
      this.#nodes.map((node) => ensureNode(this.#store, record, quorums, node)),
    );
    started.forEach((outcome, index) => {
      const node = this.#nodes[index]?.node ?? '';
      if (outcome.status === 'rejected') this.#putOff(node, outcome.reason);
      else if (outcome.value) {
        this.#report('store.started', `storage node ${node} runs`, { node });
        report(`started storage node ${node}`);
      }
    });
    const wanted = record.founded ? quorums.classic : quorums.nodes;
    const refused = started.flatMap((outcome) =>
      outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
    );
    const noNode = refused.find(
      (error): error is DbproxyError => error instanceof DbproxyError && error.code === 'DBP_ENV_NODE',
    );
    // None of them will be there however long we wait.
    if (noNode && started.length - refused.length < wanted) throw noNode;
    await waitForService(this.#store, this.#nodes, wanted);
    if (!record.founded) await this.#store.write({ ...record, founded: true });
    // One of the others is what it will be a copy of.
    if (isBuiltAgain(this.#instance.record)) {
      this.#election.start();
      await this.ensureFurther(onStep, true);
    }
  }

  async routed(): Promise<void> {
    await this.#election.look();
    this.#election.start();
  }

  /** The writers are there and answer; `all`: those that somebody has stopped, too. Throws what keeps one of them from it. */
  async ensureFurther(onStep: OnStep, all: boolean): Promise<void> {
    // One after the other: each takes the next free port, and a copy of the first one's engine.
    for (const writer of this.#further())
      if (all || !(await this.#isStopped(writer))) await this.#ensureWriter(writer, onStep);
    await this.#election.look();
  }

  async #isStopped(writer: WriterNumber): Promise<boolean> {
    const record = await InstanceDirectory.of(writerName(this.#name, writer)).readInstance();
    return record?.wanted === 'stopped';
  }

  /** A start that somebody else began, and that fails, is no verdict: then it is ours to begin. */
  async #ensureWriter(writer: WriterNumber, onStep: OnStep): Promise<void> {
    const name = writerName(this.#name, writer);
    const directory = InstanceDirectory.of(name);
    const before = (await directory.readSupervisor())?.process;
    if (!isAlive(before)) onStep('writer', name);
    try {
      await this.#startWriter(writer, onStep);
    } catch (error) {
      if (!before || !(await waitForExit(before, GIVEN_UP_BOUND_MS))) throw error;
      await this.#startWriter(writer, onStep);
    }
  }

  async #startWriter(writer: WriterNumber, onStep: OnStep): Promise<void> {
    const name = writerName(this.#name, writer);
    const directory = InstanceDirectory.of(name);
    const { spec } = this.#instance.record;
    const stored = await directory.readInstance();
    await directory.create();
    // The roles come with the copy, and so does the superuser's password.
    await directory.password(this.#instance.password);
    const port = stored?.spec.port ?? (await findFreePort(spec.host, spec.port + writer - 2));
    const fresh = stored
      ? {}
      : {
          ...{ size: spec.size, provider: spec.provider, image: spec.image },
          postgres: this.#instance.primary?.postgres,
        };
    // One that runs with other settings goes on with them until it is started again.
    const runs =
      isAlive((await directory.readSupervisor())?.process) || (await recordedProxies(directory)).length > 0;
    const result = await startInstance(
      {
        ...{ name, port, writerOf: { instance: this.#name, writer }, ...fresh },
        ...(runs ? {} : { host: spec.host, maxSessions: spec.maxSessions, ...asTlsRequest(spec.tls) }),
      },
      ({ step, detail }) => onStep(`${name}:${step}`, detail),
    );
    if (!result.alreadyRunning)
      this.#report('writer.started', `writer ${name} is ready on port ${result.port}`, { writer: name });
  }

  // --- looking after ----------------------------------------------------------------------------------------------------

  watch(): void {
    this.#watching ??= this.#watch();
  }

  async stop(): Promise<void> {
    this.#end.abort();
    await this.#election.stop();
    await this.#watching;
  }

  /** Ends the other writers; what they were, for `down`. */
  async stopFurther(purge: boolean): Promise<string[]> {
    const results = await Promise.all(
      this.#further().map((writer) => stopInstance(writerName(this.#name, writer), { purge })),
    );
    return results.flatMap(({ instance, stopped }) => stopped.map((what) => `${what} of ${instance}`));
  }

  async #watch(): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      for (const { node } of this.#nodes)
        await this.#onNodes(() => this.#tended(node, () => this.#lookAtNode(node)));
      for (const writer of this.#further()) {
        const name = writerName(this.#name, writer);
        await this.#tended(name, () => this.#lookAtWriter(name));
      }
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #lookAtNode(node: string): Promise<void> {
    const recorded = await this.#store.readProcess(node);
    if (isAlive(recorded?.process)) return;
    if (recorded && !this.#patience.has(node)) {
      const reason = await whyEnded(this.#store, node);
      this.#report('store.lost', `storage node ${node} (${recorded.process.pid}) is gone: ${reason}`, {
        node,
      });
    }
    const store = await this.#store.open();
    const started = await ensureNode(this.#store, store, this.#spec.quorums, this.#store.node(node));
    if (started) this.#report('store.started', `storage node ${node} runs again`, { node });
  }

  /** Whoever stopped a writer wants it stopped; one whose supervisor died is given another. */
  async #lookAtWriter(name: string): Promise<void> {
    const directory = InstanceDirectory.of(name);
    const record = await directory.readInstance();
    if (record?.wanted !== 'running' || isAlive((await directory.readSupervisor())?.process)) return;
    this.#report('writer.lost', `the supervisor of writer ${name} is gone`, { writer: name });
    (await connectSupervisor(name)).close();
    this.#report('writer.started', `writer ${name} is looked after again`, { writer: name });
  }

  async #tended(name: string, look: () => Promise<void>): Promise<void> {
    if (this.#end.signal.aborted) return;
    const patience = this.#patience.get(name);
    if (patience && performance.now() < patience.notBeforeMs) return;
    try {
      await look();
      // Only what has stayed for a while is well again.
      if (patience && performance.now() > patience.notBeforeMs + PAUSES_MS.length * 1_000)
        this.#patience.delete(name);
    } catch (error) {
      this.#putOff(name, error);
    }
  }

  #putOff(name: string, error: unknown): void {
    const failures = (this.#patience.get(name)?.failures ?? 0) + 1;
    const pauseMs = PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)] ?? 0;
    this.#patience.set(name, { failures, notBeforeMs: performance.now() + pauseMs });
    if (failures === 1)
      this.#report('supervisor.repaired', `not repaired yet: ${DbproxyError.from(error).message}`, { name });
  }

  /** The last storage node hears of that writer's proposals late, for a while: votes are split then. */
  async holdBack(writer: WriterNumber, delayMs: number, forMs: number): Promise<void> {
    const last = this.#nodes.at(-1);
    if (last) await holdBack(last, { writer: writer - 1, delayMs, forMs });
  }

  /** Instances of the other writers that nobody has stopped. */
  async others(): Promise<string[]> {
    const names: string[] = [];
    for (const writer of this.#further())
      if (!(await this.#isStopped(writer))) names.push(writerName(this.#name, writer));
    return names;
  }

  /** While the first writer's proxy is replaced. */
  keepLead<T>(replace: (epoch: number | null) => Promise<T>): Promise<T> {
    return this.#election.keepLead(replace);
  }

  /**
   * All storage nodes by processes of this build, one after the other: while one is away a commit has to ask the primary, and goes on.
   * Throws DBP_STORE_NODE_START: those behind it are left.
   */
  async replaceNodes(tell: (detail: string) => void): Promise<NodeReplaced[]> {
    const replaced: NodeReplaced[] = [];
    for (const node of this.#nodes) {
      tell(`storage node ${node.node}`);
      await this.#onNodes(async () => {
        const store = await this.#store.open();
        replaced.push(await replaceNode(this.#store, store, this.#spec.quorums, node));
      });
      this.#report('store.started', `storage node ${node.node} runs in a new process`, { node: node.node });
    }
    return replaced;
  }

  /** Nobody else starts one meanwhile. */
  #onNodes(work: () => Promise<void>): Promise<void> {
    const done = this.#nodesTurn.then(work);
    this.#nodesTurn = done.catch(() => undefined);
    return done;
  }

  // --- what the writers tell --------------------------------------------------------------------------------------------

  #heard(event: WriterEvent): void {
    this.verdicts.hear(event);
    const name = writerName(this.#name, event.writer + 1);
    if (event.kind === 'stopped') {
      const next = event.why === 'diverged' ? `; dbproxy up --name ${this.#name} builds it again` : '';
      this.#report('writer.lost', `writer ${name} has stopped (${event.why}): ${event.message}${next}`, {
        ...event,
      });
    } else if (event.kind === 'opened') {
      this.#report('writer.started', `writer ${name} takes part, incarnation ${event.incarnation}`, {
        ...event,
      });
    }
  }

  /** The log is for people: where there are very many verdicts, some of them. `dbproxy conflict` sees all. */
  #tellVerdict(verdict: Verdict): void {
    const second = Math.floor(performance.now() / 1_000);
    if (second !== this.#logged.second) this.#logged = { second, count: 0 };
    if (++this.#logged.count <= VERDICTS_PER_SECOND)
      this.#report('writer.verdict', verdictLine(verdict), { ...verdict });
  }

  // --- status -----------------------------------------------------------------------------------------------------------

  store(): Promise<StoreStatus> {
    return storeStatus(this.#store, this.#spec);
  }

  writers(own: Omit<WriterStatus, 'id' | 'leads' | 'reason'>): Promise<WriterStatus[]> {
    return writerStatuses(own, this.#further(), this.#election);
  }

  #further(): WriterNumber[] {
    return Array.from({ length: this.#spec.writers - 1 }, (_, index) => index + 2);
  }

  get #name(): string {
    return this.#instance.paths.name;
  }

  #report(type: string, message: string, data: Readonly<Record<string, unknown>>): void {
    this.#instance.events.append(type, message, data);
  }
}
