/**
 * The proxy process that takes over from its parent (messages.ts). It owns a session from `go` on. If the parent dies before
 * that, whatever came whole is taken over at once: nobody else can.
 */
import type { PeerMessage } from '../../multiwriter/writer/index.js';
import { logLine } from '../../log-line.js';
import { faultPoint } from '../../fault-point.js';
import type { CancelElsewhere } from '../cancel.js';
import type { Link } from '../link.js';
import type { ListenerName } from '../listeners.js';
import type { RawHandle } from '../raw-handle.js';
import type { Session, SessionImage } from '../session.js';
import { freeDescriptors } from './descriptors.js';
import {
  READABLE_FORMATS,
  type BackendChange,
  type ProxyImage,
  type SessionFailure,
  type ToPredecessor,
  type ToSuccessor,
} from './messages.js';
import { Peer } from './peer.js';

/** What is needed of the proxy that takes over. */
export interface HandoverTarget {
  readonly version: string;
  readonly fastPath: boolean;
  /** Everything but sessions; resolves when it reaches the primary. One of several writers does so with `write`. */
  restore(image: ProxyImage): Promise<void>;
  /** Its writer begins. `keepsSessions`: those that are on the engine are to be taken over. */
  write(epoch: number | null, keepsSessions: boolean): Promise<void>;
  /** Resolves when its writer takes part. */
  opened(): Promise<void>;
  /** What other writers say. */
  hear(messages: readonly PeerMessage[]): void;
  /** Accepts on a listening socket. `nextId`: for the sessions of new logins. */
  listenOn(name: ListenerName, handle: RawHandle): Promise<void>;
  nextId: number;
  /** Hears of the backends of sessions that come and go; null: nobody does. */
  onBackend: ((change: BackendChange) => void) | null;
  /** Ends those that no session here has. */
  endBackends(pids: readonly number[]): void;
  addTotals(totals: ToSuccessor['finish']['totals']): void;
  /** A connection that was accepted over there. */
  takeIn(handle: RawHandle): void;
  /** Nothing is read of it. */
  linkOf(handle: RawHandle): Link;
  /** Builds a session, frozen. Throws if it cannot. */
  inherit(image: SessionImage, sockets: Sockets): Session;
  cancelHere(processId: number, secret: Buffer): Promise<boolean>;
  /** Where cancel requests for sessions that are unknown here go; null: nowhere. */
  cancelElsewhere: CancelElsewhere | null;
  /** What of `openControl` can fail. */
  bindControl(): Promise<void>;
  /** Answers control requests from here on. */
  openControl(): Promise<void>;
}

export interface Sockets {
  readonly client: Link;
  readonly server: Link;
}

export class Successor {
  readonly #target: HandoverTarget;
  readonly #peer: Peer<ToPredecessor, ToSuccessor>;
  readonly #listeners: { readonly name: ListenerName; readonly handle: RawHandle }[] = [];
  /** By session id. */
  readonly #sockets = new Map<number, Partial<Sockets>>();
  readonly #frozen = new Map<number, { readonly session: Session; readonly frozenAt: bigint }>();
  /** Of all sessions that the predecessor had, or has. */
  #backends = new Set<number>();
  #listens = false;
  #writes = false;
  #finished = false;
  #end: (error: Error | null) => void = () => undefined;
  /** Messages are dealt with one after the other, though some take time. */
  #work: Promise<void> = Promise.resolve();

  constructor(target: HandoverTarget) {
    this.#target = target;
    const inTurn =
      <T>(work: (body: T, socket: RawHandle | null) => Promise<void> | void) =>
      (body: T, socket: RawHandle | null): void => {
        this.#work = this.#work.then(() => work(body, socket)).catch((error: unknown) => this.#fail(error));
      };
    this.#peer = new Peer(process, {
      prepare: inTurn((body) => this.#prepare(body)),
      listener: inTurn(({ name }, handle) => void (handle && this.#listeners.push({ name, handle }))),
      listen: inTurn((body) => this.#listen(body)),
      backend: inTurn(
        ({ pid, has }) => void (has === 'come' ? this.#backends.add(pid) : this.#backends.delete(pid)),
      ),
      write: inTurn(({ epoch }) => this.#write(epoch)),
      socket: inTurn((body, handle) => this.#keep(body, handle)),
      sessions: inTurn((body) => this.#adopt(body)),
      go: inTurn(({ ids }) => this.#go(ids)),
      drop: inTurn(({ ids }) => ids.forEach((id) => this.#drop(id))),
      accepted: (_body, handle) => handle && target.takeIn(handle),
      cancel: ({ processId, secret }) => void target.cancelHere(processId, secret),
      // What its writer waits for in its turn may be among it.
      hear: ({ messages }) => target.hear(messages),
      finish: inTurn((body) => this.#finish(body)),
    });
  }

  /** Resolves when everything was taken over; rejects when there is nothing to do but end. */
  async run(): Promise<void> {
    const ended = new Promise<void>((resolve, reject) => {
      this.#end = (error) => (error ? reject(error) : resolve());
    });
    void this.#peer.gone.then(() => this.#work).then(() => this.#afterItsEnd());
    const { version, fastPath } = this.#target;
    await this.#peer.send('hello', {
      formats: READABLE_FORMATS,
      version,
      fastPath,
      descriptors: freeDescriptors(),
    });
    await ended;
  }

  async #prepare({ format, proxy }: ToSuccessor['prepare']): Promise<void> {
    if (!READABLE_FORMATS.includes(format)) throw new Error(`format ${format} cannot be read`);
    // Whoever cannot be asked for anything is nobody's proxy: that is to be known while nobody has gone over.
    await this.#target.bindControl();
    await this.#target.restore(proxy);
    await faultPoint('handover.successor.prepared');
    this.#peer.tell('prepared', {});
  }

  async #listen({ nextId, backends = [] }: ToSuccessor['listen']): Promise<void> {
    this.#target.nextId = nextId;
    this.#backends = new Set(backends);
    this.#target.onBackend = (change) => this.#peer.tell('backend', change);
    this.#target.cancelElsewhere = (processId, secret) => this.#peer.tell('cancel', { processId, secret });
    for (const { name, handle } of this.#listeners) await this.#target.listenOn(name, handle);
    this.#listens = true;
    await faultPoint('handover.successor.listening');
    this.#peer.tell('listening', {});
  }

  async #write(epoch: number | null): Promise<void> {
    await this.#target.write(epoch, true);
    this.#writes = true;
    // Where there is no way back whoever makes it lead may have to reach it first.
    await Promise.race([this.#target.opened(), this.#peer.gone]);
    await faultPoint('handover.successor.writes');
    this.#peer.tell('writes', {});
  }

  #keep({ session, side }: ToSuccessor['socket'], handle: RawHandle | null): void {
    if (!handle) throw new Error(`the socket of session ${session} did not arrive`);
    // Made now: while its session waits that would take as long as all the rest.
    const known = { ...this.#sockets.get(session), [side]: this.#target.linkOf(handle) };
    this.#sockets.set(session, known);
    if (known.client && known.server) this.#peer.tell('have', { session });
  }

  async #adopt({ images, frozenAt }: ToSuccessor['sessions']): Promise<void> {
    const ids: number[] = [];
    const failed: SessionFailure[] = [];
    for (const image of images) {
      const { id } = image.identity;
      try {
        const { client, server } = this.#sockets.get(id) ?? {};
        if (!client || !server) throw new Error('its sockets did not arrive');
        const session = this.#target.inherit(image, { client, server });
        this.#sockets.delete(id);
        this.#frozen.set(id, { session, frozenAt });
        ids.push(id);
      } catch (error) {
        failed.push({ id, reason: error instanceof Error ? error.message : String(error) });
      }
    }
    await faultPoint('handover.successor.adopted');
    this.#peer.tell('adopted', { ids, failed });
  }

  async #go(ids: readonly number[]): Promise<void> {
    await faultPoint('handover.successor.go');
    const holdMs: number[] = [];
    for (const id of ids) {
      const frozen = this.#frozen.get(id);
      if (!frozen) continue;
      this.#frozen.delete(id);
      frozen.session.thaw();
      holdMs.push(Number(process.hrtime.bigint() - frozen.frozenAt) / 1e6);
    }
    this.#peer.tell('running', { ids, holdMs });
  }

  #drop(id: number): void {
    const sockets = this.#sockets.get(id);
    sockets?.client?.giveAway();
    sockets?.server?.giveAway();
    this.#sockets.delete(id);
    this.#frozen.get(id)?.session.giveAway();
    this.#frozen.delete(id);
  }

  async #finish({ nextId, totals }: ToSuccessor['finish']): Promise<void> {
    this.#target.nextId = Math.max(this.#target.nextId, nextId);
    this.#target.addTotals(totals);
    this.#target.cancelElsewhere = null;
    this.#target.onBackend = null;
    for (const id of [...this.#sockets.keys(), ...this.#frozen.keys()]) this.#drop(id);
    await faultPoint('handover.successor.finish');
    await this.#target.openControl();
    this.#finished = true;
    await this.#peer.send('finished', {}).catch(() => undefined);
    this.#end(null);
  }

  /** The predecessor is gone. */
  async #afterItsEnd(): Promise<void> {
    if (this.#finished) return;
    if (!this.#listens) {
      this.#end(new Error('the predecessor is gone before there was anything to take over'));
      return;
    }
    logLine('the predecessor is gone in the middle of the handover: going on alone');
    this.#target.cancelElsewhere = null;
    this.#target.onBackend = null;
    if (!this.#writes) await this.#writeAlone();
    for (const { session } of this.#frozen.values()) session.thaw();
    this.#frozen.clear();
    for (const id of [...this.#sockets.keys()]) this.#drop(id);
    this.#target.endBackends([...this.#backends]);
    await this.#target.openControl();
    this.#finished = true;
    this.#end(null);
  }

  /** An engine that cannot be reached may be there again: whoever looks after us then says so. */
  async #writeAlone(): Promise<void> {
    await this.#target.write(null, false).catch((error: unknown) => logLine(`its engine: ${String(error)}`));
  }

  #fail(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#peer.tell('failed', { reason });
    // Once there are sessions here, ending would take them along; the predecessor decides.
    if (!this.#listens) this.#end(new Error(reason));
  }
}
