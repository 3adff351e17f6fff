/**
 * Who decides where transactions collide: one writer leads, with an epoch that nobody ever had. When its proxy has gone, or hangs,
 * another one is told to. An old primary that only slept is refused by its epoch; two at once do no harm.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../../errors/index.js';
import type { WriterApi, WriterEvent, WriterStatus } from '../../multiwriter/writer/config.js';
import { RpcClient } from '../../rpc/index.js';
import type { MultiwriterSpec } from '../api.js';
import type { Instance } from '../instance.js';
import { instancePaths } from '../paths.js';
import { writerName, type WriterNumber } from './names.js';
import type { StoreDirectory } from './store-directory.js';

const FIRST: WriterNumber = 1;
const LOOK_EVERY_MS = 250;
/** A writer that answers within that can be told to lead; a busy machine may take a second. */
const ANSWER_BOUND_MS = 2_000;
/**
 * A primary that is silent for so long is replaced, though its process lives: it hangs. Below that it may be busy with a single commit
 * of very many rows. One whose process has gone is replaced at once: its connection has ended.
 */
const SILENCE_BOUND_MS = 8_000;
/** So many looks at a primary that was told its epoch and does not lead; without storage nodes nobody can. */
const PATIENCE_LOOKS = 20;

interface Link {
  readonly writer: WriterNumber;
  readonly rpc: RpcClient<WriterApi>;
  /** When it was asked what it has not answered, and nothing since (monotonic); null: it answers. */
  silentSinceMs: number | null;
}

export class Election {
  readonly #instance: Instance;
  readonly #spec: MultiwriterSpec;
  readonly #store: StoreDirectory;
  readonly #links = new Map<WriterNumber, Link>();
  readonly #end = new AbortController();
  #leader: WriterNumber | null = null;
  #stopped: ReadonlyMap<WriterNumber, string> = new Map();
  #epoch = 0;
  /** The epoch that the present leader was told by this process, and how often it was seen without it since. */
  #told = 0;
  #idleLooks = 0;
  #isKept = false;
  #running: Promise<void> | null = null;
  #looking: Promise<void> = Promise.resolve();

  readonly #heard: (event: WriterEvent) => void;

  /** `heard`: everything that the writers tell, from whichever of them. */
  constructor(
    instance: Instance,
    spec: MultiwriterSpec,
    store: StoreDirectory,
    heard: (event: WriterEvent) => void,
  ) {
    this.#instance = instance;
    this.#spec = spec;
    this.#store = store;
    this.#heard = heard;
  }

  /** Writers that have stopped by themselves, and why. */
  get stopped(): ReadonlyMap<WriterNumber, string> {
    return this.#stopped;
  }

  get leader(): WriterNumber | null {
    return this.#leader;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#end.abort();
    await this.#running;
    for (const { rpc } of this.#links.values()) rpc.close();
    this.#links.clear();
  }

  /** One look, now: afterwards somebody leads, if any writer's proxy answers. */
  look(): Promise<void> {
    this.#looking = this.#looking.then(() => this.#look()).catch(() => undefined);
    return this.#looking;
  }

  /**
   * While the first writer's proxy is replaced: if that leads, its successor is to, with the epoch that is passed. Nobody else is
   * told to meanwhile: there may be nobody else.
   */
  async keepLead<T>(replace: (epoch: number | null) => Promise<T>): Promise<T> {
    await this.look();
    const epoch = this.#leader === FIRST ? await this.#store.nextEpoch() : null;
    this.#isKept = epoch !== null;
    try {
      const result = await replace(epoch);
      if (epoch !== null) this.#told = this.#epoch = epoch;
      // The old process answers no more.
      this.#links.get(FIRST)?.rpc.close();
      this.#links.delete(FIRST);
      return result;
    } catch (error) {
      this.#told = 0;
      throw error;
    } finally {
      this.#isKept = false;
      if (this.#running) void this.look();
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      await this.look();
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #look(): Promise<void> {
    await Promise.all(this.#writers().map((writer) => this.#connect(writer)));
    const answers = await Promise.all([...this.#links.values()].map((link) => this.#ask(link)));
    const there = answers.filter((answer) => answer !== null).sort((a, b) => a.writer - b.writer);
    if (this.#end.signal.aborted) return;
    this.#stopped = new Map(
      there.flatMap(({ writer, status: { why } }) => (why ? [[writer, `${why.kind}: ${why.message}`]] : [])),
    );
    // A supervisor that is new finds a primary that its predecessor made; an older one has been outranked, or will be.
    if (this.#epoch === 0) this.#epoch = (await this.#store.open()).epoch;
    const leading = there.find(({ status }) => status.leads === this.#epoch && status.state !== 'stopped');
    if (leading) this.#leader = leading.writer;
    this.#idleLooks = leading ? 0 : this.#idleLooks + 1;
    if (leading || this.#isKept) return;
    if (this.#isBusy(this.#leader)) return;
    const current = there.find(({ writer, status }) => writer === this.#leader && status.state !== 'stopped');
    // It was told to and has not begun yet: its nodes may be away. Or it was outranked, and has to be told again.
    if (current && this.#epoch === this.#told && this.#idleLooks < PATIENCE_LOOKS) return;
    const candidate = there.find(({ status }) => status.state !== 'stopped');
    if (!candidate) {
      this.#leader = null;
      return;
    }
    await this.#elect(candidate.writer);
  }

  async #elect(writer: WriterNumber): Promise<void> {
    const before = this.#leader;
    this.#epoch = await this.#store.nextEpoch();
    await this.#links
      .get(writer)
      ?.rpc.call('writer.lead', { epoch: this.#epoch }, { timeoutMs: ANSWER_BOUND_MS });
    this.#leader = writer;
    this.#told = this.#epoch;
    this.#idleLooks = 0;
    const name = writerName(this.#name, writer);
    const instead =
      before === null || before === writer ? '' : `, in place of ${writerName(this.#name, before)}`;
    this.#instance.events.append('writer.leads', `${name} leads, epoch ${this.#epoch}${instead}`, {
      ...{ writer: name, epoch: this.#epoch },
    });
  }

  async #connect(writer: WriterNumber): Promise<void> {
    if (this.#links.has(writer)) return;
    const { proxySocket } = instancePaths(writerName(this.#name, writer), this.#instance.paths.home);
    const rpc = await RpcClient.connect<WriterApi>(proxySocket).catch((error: unknown) => {
      if (error instanceof DbproxyError) return null;
      throw error;
    });
    if (!rpc) return;
    this.#links.set(writer, { writer, rpc, silentSinceMs: null });
    rpc.call('writer.events', {}, { onProgress: (event) => this.#hear(event) }).catch(() => undefined);
    void rpc.closed.then(() => this.#gone(writer, rpc));
  }

  #hear(event: WriterEvent): void {
    this.#heard(event);
    if (event.kind === 'closed' && this.#running) void this.look();
  }

  /** What a process knew died with it: its successor is no primary, whoever it was before. */
  #gone(writer: WriterNumber, rpc: RpcClient<WriterApi>): void {
    if (this.#links.get(writer)?.rpc === rpc) this.#links.delete(writer);
    if (this.#leader !== writer) return;
    this.#told = 0;
    if (!this.#end.signal.aborted && this.#running) void this.look();
  }

  async #ask(link: Link): Promise<{ writer: WriterNumber; status: WriterStatus } | null> {
    const askedMs = performance.now();
    try {
      const status = await link.rpc.call('writer.status', {}, { timeoutMs: ANSWER_BOUND_MS });
      link.silentSinceMs = null;
      return { writer: link.writer, status };
    } catch {
      link.silentSinceMs ??= askedMs;
      return null;
    }
  }

  /** It is connected, and has been silent for no longer than a large commit may keep it. */
  #isBusy(writer: WriterNumber | null): boolean {
    const { silentSinceMs = null } = (writer !== null && this.#links.get(writer)) || {};
    return silentSinceMs !== null && performance.now() - silentSinceMs < SILENCE_BOUND_MS;
  }

  #writers(): WriterNumber[] {
    return Array.from({ length: this.#spec.writers }, (_, index) => index + 1);
  }

  get #name(): string {
    return this.#instance.paths.name;
  }
}
