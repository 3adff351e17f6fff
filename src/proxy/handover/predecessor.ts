/**
 * The proxy process that is replaced: starts its successor, gives it the listening sockets and then, a few sessions at a
 * time, both sockets and the whole state of each (messages.ts). A session waits only while its own batch is on the way.
 *
 * Until `go` is sent for a session it is ours: whatever fails before that, it flows on here as if nothing had happened.
 *
 * Rejected: inheriting the sockets at the spawn (sessions that come while the successor starts would be left out, and its
 * start would be part of the hold); one hold over all sessions (grows with their number).
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../../errors/index.js';
import { faultPoint } from '../../fault-point.js';
import type { HandoverResult, Program, ProxyApi, ProxyConfig, ProxyStatus } from '../control-api.js';
import type { PeerMessage } from '../../multiwriter/writer/index.js';
import { holdTimes } from '../hold-times.js';
import type { CancelElsewhere } from '../cancel.js';
import type { ListenerName } from '../listeners.js';
import type { PassOn } from '../logins.js';
import type { RawHandle } from '../raw-handle.js';
import type { Session, SessionImage } from '../session.js';
import type { BackendChange, ProxyImage, SessionFailure, ToPredecessor, ToSuccessor } from './messages.js';
import { FORMAT } from './messages.js';
import { Peer } from './peer.js';
import type { Standstill } from './standstill.js';

/** Environment variable that tells a proxy process to take over from its parent. */
export const SUCCESSOR_VARIABLE = 'DBPROXY_PROXY_SUCCESSOR';

/** From the start of the successor to its first word, with its self-test; ms. Nobody is held meanwhile, and its end is seen at once. */
const START_BOUND_MS = 60_000;
/** For one answer of a successor that runs, ms. */
const ANSWER_BOUND_MS = 10_000;
/** Between the end of its channel and that of the process, ms. */
const EXIT_MS = 500;
/** Sessions that wait at the same time. The first batches are smaller: the successor's code is cold then. */
const BATCH = 16;
/** Between two looks at sessions that cannot be given away yet, ms. */
const RETRY_MS = 2;
/** How long a session whose peer does not read is waited for, before what it has not read travels along; ms. */
const UNSENT_PATIENCE_MS = 500;
/** How long somebody else may hold a session (`check` looks at it), ms. */
const HELD_BOUND_MS = 15_000;
/** How long logins that are under way may take, ms; then they are refused, and come again. */
const LOGINS_BOUND_MS = 5_000;

/** What is needed of the proxy that is replaced. */
export interface HandoverSource {
  readonly config: ProxyConfig;
  readonly fastPath: boolean;
  readonly sessions: ReadonlySet<Session>;
  /** Logins that have not become sessions yet. */
  readonly logins: number;
  save(): ProxyImage;
  readonly totals: ProxyStatus['totals'];
  stopListening(): void;
  readonly listeners: readonly { readonly name: ListenerName; readonly handle: RawHandle }[];
  /** From now on new connections go to the successor; null: not any more. */
  redirect(to: PassOn | null): void;
  /** Where cancel requests for sessions that are unknown here go; null: nowhere. */
  cancelElsewhere: CancelElsewhere | null;
  /** Where what other writers say goes; null: to the writer here. */
  hearElsewhere: ((messages: readonly PeerMessage[]) => void) | null;
  /** A cancel request that came to the successor. */
  cancelHere(processId: number, secret: Buffer): Promise<boolean>;
  /** Gives connections that have not said anything yet to the successor. */
  redirectSilent(): Promise<void>;
  refuseLogins(): void;
  /** Hears of the backends of sessions that come and go; null: nobody does. */
  onBackend: ((change: BackendChange) => void) | null;
  /** Ends those that no session here has. */
  endBackends(pids: readonly number[]): void;
  /** Ids that sessions of new logins may begin with, once `redirect` is set. */
  readonly nextFreeId: number;
}

export interface HandoverPlan {
  readonly program: Program;
  /** The successor's; its generation is counted here. */
  readonly config: ProxyConfig;
  /** Of one of several writers. */
  readonly standstill: Standstill | null;
}

type HandoverProgress = ProxyApi['handover']['progress'];

export class Predecessor {
  readonly #source: HandoverSource;
  readonly #child: ChildProcess;
  readonly #peer: Peer<ToSuccessor, ToPredecessor>;
  readonly #standstill: Standstill | null;
  readonly #onProgress: (progress: HandoverProgress) => void;
  /** Sessions whose sockets the successor has, and since when we want to be rid of them (ms, monotonic). */
  readonly #given = new Map<Session, number>();
  readonly #holdMs: number[] = [];
  readonly #lost: { id: number; reason: string }[] = [];
  /** Of sessions that the successor owns. */
  readonly #backends = new Set<number>();
  #batch = 1;
  #givenUp: DbproxyError | null = null;
  /** The successor may have clients: what it has ends with it. */
  #isPastReturn = false;
  #fail: (error: Error) => void = () => undefined;
  /** Rejects when the successor has ended. */
  readonly #ended: Promise<never>;
  /** Rejects when the successor cannot go on, or ends. */
  readonly #stopped: Promise<never>;

  constructor(
    source: HandoverSource,
    { program, config, standstill }: HandoverPlan,
    onProgress: (progress: HandoverProgress) => void,
  ) {
    this.#source = source;
    this.#standstill = standstill;
    this.#onProgress = onProgress;
    this.#child = start(config, program);
    this.#peer = new Peer(this.#child, {
      cancel: ({ processId, secret }) => void source.cancelHere(processId, secret),
      failed: ({ reason }) => this.#fail(new Error(reason)),
      backend: ({ pid, has }) => void (has === 'come' ? this.#backends.add(pid) : this.#backends.delete(pid)),
    });
    const failed = new Promise<never>((_, reject) => (this.#fail = reject));
    this.#ended = ended(this.#child);
    this.#stopped = Promise.race([failed, this.#ended]);
    this.#stopped.catch(() => undefined);
  }

  /**
   * When it resolves this process has nothing left but to end. Throws DBP_PROXY_HANDOVER, DBP_PROXY_STANDSTILL, DBP_SWITCH_ROLLED_BACK:
   * this process goes on.
   */
  async run(): Promise<HandoverResult> {
    try {
      const version = await this.#prepare();
      await this.#standStill();
      await this.#giveListeners();
      await this.#giveWriter();
      await this.#giveSessions();
      await this.#finish();
      const pid = this.#child.pid ?? 0;
      const sessions = { handed: this.#holdMs.length, lost: this.#lost };
      const heldMs = this.#holdMs;
      return { pid, version, sessions, holdMs: holdTimes(heldMs), heldMs };
    } catch (error) {
      this.#child.kill('SIGKILL');
      this.#source.redirect(null);
      this.#source.cancelElsewhere = null;
      this.#source.hearElsewhere = null;
      this.#source.onBackend = null;
      // Whoever is told of the failure finds one process, not two; what that one has said of its sessions has been read.
      await Promise.race([
        Promise.all([this.#ended.catch(() => undefined), this.#peer.silent]),
        delay(EXIT_MS),
      ]);
      this.#source.endBackends([...this.#backends]);
      await this.#standstill?.resume();
      if (error instanceof DbproxyError) throw error;
      const died = this.#backends.size;
      const sessions = died === 1 ? '1 session' : `${died} sessions`;
      const reason = died === 0 ? messageOf(error) : `${messageOf(error)}; ${sessions} died with it`;
      throw new DbproxyError('DBP_PROXY_HANDOVER', { reason }, { cause: error });
    }
  }

  /** Nobody is handed over, unless the successor has the listening sockets already: then it comes to its end. */
  giveUp(): void {
    if (this.#isPastReturn) return;
    this.#givenUp = new DbproxyError('DBP_SWITCH_ROLLED_BACK', {
      step: 'handover',
      reason: 'it was given up',
    });
    this.#fail(this.#givenUp);
  }

  // --- before anything moves --------------------------------------------------------------------------------------------

  async #prepare(): Promise<string> {
    const source = this.#source;
    const hello = await this.#next('hello', START_BOUND_MS);
    if (!hello.formats.includes(FORMAT)) {
      throw new Error(`version ${hello.version} reads formats ${hello.formats.join(', ')}, not ${FORMAT}`);
    }
    if (source.fastPath && !hello.fastPath) throw new Error('the self-test of the new process failed');
    const needed = 2 * source.sessions.size + source.logins;
    if (hello.descriptors < needed) {
      throw new Error(
        `${needed} file descriptors are needed there, ${hello.descriptors} are free (ulimit -n)`,
      );
    }
    await faultPoint('handover.hello');
    await this.#peer.send('prepare', { format: FORMAT, proxy: source.save() });
    await this.#next('prepared');
    await faultPoint('handover.prepared');
    return hello.version;
  }

  #next<K extends keyof ToPredecessor>(kind: K, boundMs = ANSWER_BOUND_MS): Promise<ToPredecessor[K]> {
    const answer = this.#peer.next(kind, boundMs).catch(async (error: unknown) => {
      // Its exit says more than the end of its channel, which comes first.
      await Promise.race([this.#stopped, delay(EXIT_MS)]);
      throw error;
    });
    return Promise.race([answer, this.#stopped]);
  }

  async #giveListeners(): Promise<void> {
    const source = this.#source;
    if (this.#givenUp) throw this.#givenUp;
    this.#isPastReturn = true;
    for (const { name, handle } of source.listeners) await this.#peer.send('listener', { name }, handle);
    source.redirect((handle) => this.#peer.send('accepted', {}, handle));
    source.cancelElsewhere = (processId, secret) => this.#peer.tell('cancel', { processId, secret });
    source.onBackend = (change) => this.#peer.tell('backend', change);
    const backends = [...source.sessions].map(({ server }) => server.backendPid);
    await this.#peer.send('listen', { nextId: source.nextFreeId, backends });
    await this.#next('listening');
    this.#onProgress({ handed: 0 });
    await faultPoint('handover.listening');
  }

  // --- one of several writers -------------------------------------------------------------------------------------------

  async #standStill(): Promise<void> {
    if (!this.#standstill) return;
    // While everybody waits that would take most of the time.
    for (const session of this.#source.sessions) await this.#giveSockets(session);
    const waits = (waitsFor: string): void => {
      this.#onProgress({ handed: 0, waitsFor });
      this.#dropEnded();
    };
    await this.#standstill.begin(waits, this.#stopped);
    for (const session of this.#given.keys()) this.#given.set(session, performance.now());
    this.#dropEnded();
    await faultPoint('handover.still');
  }

  async #giveWriter(): Promise<void> {
    if (!this.#standstill) return;
    this.#standstill.makeWay();
    // They reach the successor by itself only when it has the control socket's name.
    this.#source.hearElsewhere = (messages) => this.#peer.tell('hear', { messages });
    await this.#peer.send('write', { epoch: this.#standstill.epoch });
    await this.#next('writes');
    await faultPoint('handover.writes');
  }

  // --- sessions ---------------------------------------------------------------------------------------------------------

  async #giveSessions(): Promise<void> {
    const loginsEnd = performance.now() + LOGINS_BOUND_MS;
    while (this.#source.sessions.size > 0 || this.#source.logins > 0) {
      await this.#source.redirectSilent();
      let progress = false;
      for (const batch of this.#batches()) progress = (await this.#giveBatch(batch)) || progress;
      if (performance.now() > loginsEnd) this.#source.refuseLogins();
      if (!progress) await delay(RETRY_MS);
    }
  }

  *#batches(): Generator<Session[]> {
    const queue = [...this.#source.sessions];
    while (queue.length > 0) {
      yield queue.splice(0, this.#batch);
      this.#batch = Math.min(BATCH, this.#batch * 2);
    }
  }

  /** True if any of them went over. */
  async #giveBatch(batch: readonly Session[]): Promise<boolean> {
    for (const session of batch) if (!this.#given.has(session)) await this.#giveSockets(session);
    await faultPoint('handover.sockets');
    const frozenAt = this.#standstill?.sinceNs ?? process.hrtime.bigint();
    const frozen = await this.#freeze(batch);
    const flows = frozen.filter((session) => !session.isClosed);
    try {
      const images = this.#save(flows);
      if (images.length === 0) return false;
      await this.#peer.send('sessions', { images, frozenAt });
      await faultPoint('handover.sessions');
      const { ids, failed } = await this.#next('adopted');
      await faultPoint('handover.adopted');
      this.#assertWorthwhile(failed);
      for (const { id, reason } of failed) this.#lose(flows, id, reason);
      return await this.#letGo(flows, ids);
    } finally {
      // What was not given away is ours still.
      for (const session of flows) session.thaw();
      for (const session of flows) if (session.wasGivenAway && this.#given.has(session)) this.#died(session);
      this.#dropEnded();
    }
  }

  async #giveSockets(session: Session): Promise<void> {
    const { sockets } = session;
    if (!sockets) return;
    const { id } = session.identity;
    const sent = await Promise.allSettled([
      this.#peer.send('socket', { session: id, side: 'client' }, sockets.client),
      this.#peer.send('socket', { session: id, side: 'server' }, sockets.server),
    ]);
    const failed = sent.find((each) => each.status === 'rejected');
    if (failed) {
      // It was closed while it waited to be sent: its session ends. What did arrive is of no use there.
      await delay(RETRY_MS);
      if (!session.isClosed) throw failed.reason;
      this.#peer.tell('drop', { ids: [id] });
      return;
    }
    this.#given.set(session, performance.now());
    await this.#next('have');
  }

  async #freeze(batch: readonly Session[]): Promise<Session[]> {
    const frozen: Session[] = [];
    await Promise.all(
      batch.map(async (session) => {
        if (!this.#given.has(session)) return;
        if (await session.freeze(this.#standstill !== null)) frozen.push(session);
        else if (this.#waitedFor(session) > HELD_BOUND_MS)
          this.#lose([session], session.identity.id, session.whyNotSafe());
      }),
    );
    return frozen;
  }

  /** A build that fails at the first session would fail at all of them; nobody has gone over yet. */
  #assertWorthwhile([first]: readonly SessionFailure[]): void {
    if (first && this.#holdMs.length === 0)
      throw new Error(`it cannot take over session ${first.id}: ${first.reason}`);
  }

  #waitedFor(session: Session): number {
    return performance.now() - (this.#given.get(session) ?? Infinity);
  }

  /** Images of those that can go now. What is unsent of a session must not be written from here any more, too. */
  #save(sessions: readonly Session[]): SessionImage[] {
    return sessions.flatMap((session) => {
      const image = session.save();
      const patient = this.#waitedFor(session) < UNSENT_PATIENCE_MS;
      if (!image) {
        if (!patient) this.#lose(sessions, session.identity.id, 'its client does not read');
        return [];
      }
      if (image.relay.unsentToClient.length + image.relay.unsentToEngine.length === 0) return [image];
      if (patient) return [];
      session.giveAway();
      return [image];
    });
  }

  /** The point of no return of these sessions. */
  async #letGo(sessions: readonly Session[], adopted: readonly number[]): Promise<boolean> {
    const byId = new Map(sessions.map((session) => [session.identity.id, session]));
    // Their client went away meanwhile. (Those with something unsent were given away before.)
    const ids = adopted.filter(
      (id) => byId.get(id)?.wasGivenAway === true || byId.get(id)?.isClosed === false,
    );
    await this.#peer.send('go', { ids });
    for (const id of ids) {
      const session = byId.get(id);
      if (!session) continue;
      this.#backends.add(session.server.backendPid);
      session.giveAway();
      this.#given.delete(session);
    }
    await faultPoint('handover.go');
    const { holdMs } = await this.#next('running');
    this.#holdMs.push(...holdMs);
    this.#onProgress({ handed: this.#holdMs.length });
    return ids.length > 0;
  }

  /** It had something unsent, so it was let go before the successor had it for sure. */
  #died({ identity: { id }, server }: Session): void {
    this.#backends.add(server.backendPid);
    this.#lost.push({ id, reason: 'the new process ended before it could take it over' });
  }

  #lose(sessions: readonly Session[], id: number, reason: string): void {
    this.#lost.push({ id, reason });
    sessions.find(({ identity }) => identity.id === id)?.fail('DBP_WIRE_SESSION_DROPPED', { reason });
  }

  /** The successor closes its sockets of sessions that ended here; else their peers would not notice the end. */
  #dropEnded(): void {
    const ended = [...this.#given.keys()].filter((session) => session.isClosed);
    if (ended.length === 0) return;
    for (const session of ended) this.#given.delete(session);
    this.#peer.tell('drop', { ids: ended.map(({ identity }) => identity.id) });
  }

  async #finish(): Promise<void> {
    const { nextFreeId: nextId } = this.#source;
    await this.#peer.send('finish', { nextId, totals: this.#source.totals });
    await this.#next('finished');
    this.#source.onBackend = null;
    // What was accepted here up to now is on its way.
    this.#source.stopListening();
  }
}

const start = (config: ProxyConfig, { node, main }: Program): ChildProcess => {
  const child = spawn(node, [main], {
    detached: true,
    cwd: '/',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
    env: {
      ...process.env,
      DBPROXY_PROXY_CONFIG: JSON.stringify({ ...config, generation: config.generation + 1 }),
      [SUCCESSOR_VARIABLE]: '1',
    },
  });
  // Its end is seen by `ended`; without a listener a failed spawn would end us.
  child.on('error', () => undefined);
  return child;
};

/** Rejects when the process cannot be started, or ends. */
const ended = (child: ChildProcess): Promise<never> =>
  new Promise((_, reject) => {
    child.once('error', (error) => reject(new Error(`the new process cannot be started: ${error.message}`)));
    child.once('exit', (code, signal) =>
      reject(new Error(`the new process ended (${signal ?? `exit ${code}`})`)),
    );
  });

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
