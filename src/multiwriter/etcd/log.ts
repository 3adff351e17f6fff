/**
 * The log on etcd, which decides by itself: a transaction commits with one of etcd's, that compares and puts at once.
 *
 *   submit ─ nothing known excludes it ─▶ etcd: if (no newer marks on its keys, our place is ours, not there yet)
 *                                               then put entry, marks, head
 *     then ─▶ it comes in the log, as those of the others do: effect `decided: commit`
 *     else ─▶ what is newer comes in the log; judged again: effect `decided: abort`, or once more
 *
 * **Invariant**: a mark that is newer than what was known when a transaction was judged fails its comparison. So whatever commits has
 * been judged, here, against every entry before it. The log's order is that of etcd's revisions, and LSNs are made of them
 * (layout.ts): one order for all writers, without gaps. To ask again is harmless: an entry is put once (`isAbsent`), and a request
 * that comes too late finds another place (own-place.ts).
 *
 * Too many keys for one transaction: it compares `head`, that nothing at all has committed, and changes `large`, which all others
 * compare. Who fails on that and is not really excluded is judged again and goes on; no client hears of it.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../../errors/index.js';
import { faultPoint } from '../../fault-point.js';
import { KeyTable, type Obstacle } from '../protocol/key-table.js';
import {
  at,
  includes,
  isWithin,
  lsn,
  type Lsn,
  NO_LSN,
  type Proposal,
  type Ruling,
  type Submission,
  type Survey,
  type Vector,
} from '../protocol/index.js';
import type { EtcdConfig, WriterConfig } from '../writer/config.js';
import type { Log, LogListener } from '../writer/log.js';
import { EtcdClient, type KeyValue } from './client.js';
import { decodeEntry, encodeEntry } from './entry.js';
import { type Follower, Following } from './follow.js';
import { readTruncated, removeOrphans, removePieces, truncate } from './housekeeping.js';
import { type EntryName, Layout, lsnAt, MAX_MARKS, revisionOf, ticketOf } from './layout.js';
import { claimPrefix, OwnPlace } from './own-place.js';
import { parseEtcdUrl } from './url.js';

const NODE = 'etcd';
const RETRY_MS = 200;
/** How often it is looked whether etcd is there, and whether the watch has brought all that there is. */
const LOOK_MS = 1_000;
/** How often it is said how far back this writer looks; each time what is under way is asked again. */
const HORIZON_MS = 2_000;
/** So long the others wait for a large transaction that came too late several times. */
const TURN_MS = 1_000;
const TURN_AFTER_TRIES = 3;
/** The revisions of a cluster only grow. */
const WENT_BACK = 'etcd is older than what this writer has seen there: an old copy was put back';

interface InFlight {
  readonly name: EntryName;
  readonly proposal: Proposal;
  /** It is too large for one value, and they are on their way or there. */
  hasPieces: boolean;
  /** Etcd was asked, and nobody knows what became of it. */
  isUncertain: boolean;
}

export class EtcdLog implements Log {
  readonly #config: WriterConfig;
  readonly #store: string;
  readonly #listener: LogListener;
  readonly #client: EtcdClient;
  readonly #layout: Layout;
  readonly #place: OwnPlace;
  /** What has committed since the oldest base. */
  readonly #keys = new KeyTable();
  readonly #inFlight = new Map<number, InFlight>();
  readonly #end = new AbortController();
  #following: Following | null = null;
  #state: Log['state'] = 'opening';
  #number = 0;
  /** What the engine had at the beginning. */
  #has: Vector = {};
  #reached: Vector = {};
  /** Everything up to this revision of etcd has been taken. */
  #known = 0;
  #untilKnown: { readonly revision: number; readonly resolve: () => void }[] = [];
  /** What the former incarnation has left is applied when the engine has this. */
  #left: Vector | null = null;
  #epoch = 0;
  #primary: Log['primary'] = null;
  #isReachable = false;
  #turn = { writer: -1, number: 0, until: 0 };
  #lookedAt = 0;
  #horizonAt = 0;
  #isTidying = false;

  /** Throws DBP_USAGE. */
  constructor(config: WriterConfig, { store, urlFile }: EtcdConfig, listener: LogListener) {
    const target = parseEtcdUrl(readFileSync(urlFile, 'utf8').trim());
    this.#config = config;
    this.#store = store;
    this.#listener = listener;
    this.#client = new EtcdClient(target);
    this.#layout = new Layout(target.prefix);
    this.#place = new OwnPlace(this.#client, this.#layout, config.id, config.incarnation);
  }

  get state(): Log['state'] {
    return this.#state;
  }
  get reached(): Vector {
    return this.#reached;
  }
  get inFlight(): number {
    return this.#inFlight.size;
  }
  get leads(): number | null {
    const { writer, epoch } = this.#primary ?? {};
    return writer === this.#config.id && epoch === this.#epoch ? this.#epoch : null;
  }
  get primary(): Log['primary'] {
    return this.#primary;
  }
  get nodes(): Log['nodes'] {
    return [{ node: NODE, reachable: this.#isReachable }];
  }

  // --- beginning ---------------------------------------------------------------------------------------------------------

  begin(has: Vector): void {
    this.#has = has;
    this.#reached = has;
    void this.#again(() => this.#open());
  }

  async #open(): Promise<void> {
    const { id, incarnation } = this.#config;
    await claimPrefix(this.#client, this.#layout, { store: this.#store, isNew: false });
    await this.#place.take(this.#has);
    if (this.#place.lost !== null) return this.#giveWay();
    const { revision } = await this.#client.get(this.#layout.head);
    const newest = Math.max(0, ...Object.values(this.#has));
    if (revisionOf(lsn(newest)) > revision)
      return this.#stop('what is on etcd is older than what this engine has: an old copy was put back');
    const { truncated } = await readTruncated(this.#client, this.#layout);
    if (!isWithin(truncated, this.#has))
      return this.#stop('it was away for too long: etcd no longer has what this engine lacks');
    await removeOrphans(this.#client, this.#layout, id, incarnation);
    this.#following = new Following(this.#client, this.#layout.log, 0, this.#follower());
  }

  /** Until it works. What etcd refuses ends the writer. */
  async #again(work: () => Promise<void>): Promise<void> {
    while (!this.#isOver) {
      try {
        return await work();
      } catch (error) {
        const { code, message } = DbproxyError.from(error);
        if (code === 'DBP_ETCD_FOREIGN' || code === 'DBP_ETCD_LOST') return this.#stop(message);
        this.#seen(false, message);
        await this.#pause();
      }
    }
  }

  /** All that was there is known; of its own, what the former incarnation has left. */
  #catchUp(): void {
    if (this.#state !== 'opening') return;
    const { id } = this.#config;
    this.#left = { [id]: at(this.#reached, id) };
    this.#state = 'catching-up';
    this.#openIfApplied();
  }

  #openIfApplied(): void {
    if (this.#state !== 'catching-up' || !this.#left || !this.#listener.hasApplied(this.#left)) return;
    this.#state = 'open';
    this.#listener.effect({ kind: 'opened', incarnation: this.#config.incarnation });
  }

  // --- proposing ---------------------------------------------------------------------------------------------------------

  submit(submission: Submission): Lsn | null {
    if (this.#state !== 'open' || performance.now() < this.#turn.until) return null;
    const { id: writer, incarnation } = this.#config;
    const name = { writer, incarnation, number: ++this.#number };
    const ticket = ticketOf(name.number, writer);
    const proposal: Proposal = { ...submission, lsn: ticket, previous: NO_LSN, incarnation };
    const one = { name, proposal, hasPieces: false, isUncertain: false };
    this.#inFlight.set(name.number, one);
    // Not before whoever submits it knows its name.
    queueMicrotask(() => void this.#propose(one));
    return ticket;
  }

  async #propose(one: InFlight): Promise<void> {
    const { name, proposal } = one;
    const { value, pieces } = encodeEntry(this.#layout, name, proposal);
    one.hasPieces = pieces.length > 0;
    let isWhole = !one.hasPieces;
    for (let tries = 1; !this.#isOver && this.#inFlight.has(name.number); tries++) {
      // What comes while we wait below has not been judged.
      const judgedBy = this.#known;
      const obstacle = this.#keys.committedObstacle(proposal);
      if (obstacle) return this.#lose(one, obstacle);
      try {
        if (!isWhole) for (const piece of pieces) await this.#client.txn({ then: [piece] });
        isWhole = true;
        if (proposal.keys.length > MAX_MARKS && tries % TURN_AFTER_TRIES === 0) await this.#askForTurn(name);
        const newer = await this.#ask(one, value, judgedBy);
        if (newer === null) return;
        await this.#isKnown(newer);
      } catch (error) {
        const { code, message } = DbproxyError.from(error);
        if (!one.isUncertain) {
          if (code === 'DBP_ETCD_REFUSED') return this.#giveUp(one, message);
          const isThere = code === 'DBP_ETCD_FULL' ? await this.#isThere(one) : null;
          if (isThere === false) return this.#giveUp(one, message);
          if (isThere) return;
        }
        one.isUncertain = true;
        this.#seen(false, message);
        await this.#pause();
      }
    }
  }

  /** Null: it is in the log, or never will be by us. Else the revision of what is newer. */
  async #ask(one: InFlight, value: Buffer, judgedBy: number): Promise<number | null> {
    const { proposal } = one;
    const entry = this.#layout.entry(one.name);
    const { head } = this.#layout;
    await faultPoint('etcd.propose');
    if (this.#isOver) return null;
    const { succeeded, found, revision } = await this.#client.txn({
      if: [this.#place.compare, { key: entry, isAbsent: true }, ...this.#layout.compares(proposal, judgedBy)],
      then: [{ put: entry, value }, { put: head, value: '' }, ...this.#layout.puts(proposal)],
      else: [this.#place.read, { get: entry, keysOnly: true }, { get: head }],
    });
    if (revision < judgedBy) this.#stop(WENT_BACK);
    if (succeeded || this.#isOver) return null;
    const [place, itself, newest] = found;
    if (itself?.[0]) return null;
    this.#place.follow(place?.[0]);
    if (this.#place.lost === null) return newest?.[0]?.revision ?? 0;
    this.#giveWay();
    return null;
  }

  /** Null: etcd does not say. */
  async #isThere({ name }: InFlight): Promise<boolean | null> {
    return this.#client.get(this.#layout.entry(name), { keysOnly: true }).then(
      ({ found }) => found.length > 0,
      () => null,
    );
  }

  async #askForTurn({ writer, number }: EntryName): Promise<void> {
    await this.#client.txn({ then: [{ put: this.#layout.turn, value: JSON.stringify({ writer, number }) }] });
  }

  #lose(one: InFlight, { against, key }: Obstacle): void {
    const { proposal } = one;
    this.#listener.contested(proposal.lsn, NODE, { kind: 'conflict', against, key });
    const heard = [NODE];
    const lost: Ruling = {
      ...{ lsn: proposal.lsn, outcome: 'abort', accepted: [], heard },
      reason: { kind: 'loses', against, key },
    };
    const won: Ruling = {
      ...{ lsn: against, outcome: 'commit', accepted: heard, heard },
      reason: { kind: 'known' },
    };
    const epoch = this.#primary?.epoch ?? 0;
    const decision = { kind: 'verdict', asked: proposal.lsn, rulings: [won, lost] } as const;
    this.#abort(one, lost);
    this.#listener.event({ kind: 'decided', by: NODE, epoch, slot: revisionOf(against), decision });
  }

  #giveUp(one: InFlight, why: string): void {
    this.#listener.contested(one.proposal.lsn, NODE, { kind: 'not-taken', why });
    this.#abort(one, null);
  }

  #abort({ name, proposal, hasPieces }: InFlight, ruling: Ruling | null): void {
    this.#inFlight.delete(name.number);
    // What stays, the next incarnation removes.
    if (hasPieces) removePieces(this.#client, this.#layout, name).catch(() => undefined);
    this.#listener.effect({ kind: 'decided', proposal, outcome: 'abort', ruling });
    this.#listener.changed();
  }

  // --- the log -----------------------------------------------------------------------------------------------------------

  #follower(): Follower {
    return {
      wants: (key, revision) => {
        const name = this.#layout.nameOf(key);
        return name === null || !includes(this.#has, lsnAt(revision, name.writer));
      },
      take: (found) => this.#take(found),
      reached: (revision) => {
        this.#reachedRevision(revision);
        this.#catchUp();
      },
      reachable: (isReachable, why) => this.#seen(isReachable, why),
    };
  }

  async #take(found: KeyValue): Promise<void> {
    if (found.key === this.#layout.primary) this.#hearOfPrimary(found);
    else if (found.key === this.#layout.turn) this.#hearOfTurn(found);
    else {
      const name = this.#layout.nameOf(found.key);
      if (name) await this.#takeEntry(name, found);
    }
  }

  async #takeEntry(name: EntryName, found: KeyValue): Promise<void> {
    const place = lsnAt(found.revision, name.writer);
    const { id, incarnation } = this.#config;
    const isOurs = name.writer === id && name.incarnation === incarnation;
    const own = isOurs ? this.#inFlight.get(name.number) : undefined;
    if (own) await faultPoint('etcd.committed');
    const proposal = own
      ? { ...own.proposal, lsn: place }
      : await decodeEntry(this.#client, this.#layout, name, place, found);
    this.#keys.commit(proposal);
    this.#reached = { ...this.#reached, [name.writer]: place };
    if (name.writer === this.#turn.writer && name.number === this.#turn.number) this.#turn.until = 0;
    if (own) {
      this.#inFlight.delete(name.number);
      this.#listener.named(own.proposal.lsn, place);
      this.#listener.effect({ kind: 'decided', proposal, outcome: 'commit', ruling: null });
    } else this.#listener.effect({ kind: 'apply', proposal });
    this.#reachedRevision(found.revision);
  }

  #reachedRevision(revision: number): void {
    this.#known = Math.max(this.#known, revision);
    const waiting = this.#untilKnown;
    this.#untilKnown = waiting.filter((one) => one.revision > this.#known);
    for (const one of waiting) if (one.revision <= this.#known) one.resolve();
    this.#listener.changed();
  }

  #isKnown(revision: number): Promise<void> {
    if (revision <= this.#known) return Promise.resolve();
    return new Promise((resolve) => this.#untilKnown.push({ revision, resolve }));
  }

  // --- who leads, whose turn it is ---------------------------------------------------------------------------------------

  lead(epoch: number): void {
    this.#epoch = epoch;
    void this.#again(() => this.#claimLead(epoch));
  }

  async #claimLead(epoch: number): Promise<void> {
    const key = this.#layout.primary;
    const { found } = await this.#client.get(key);
    const [before] = found;
    if (before && readPrimary(before).epoch >= epoch) return;
    const value = JSON.stringify({ writer: this.#config.id, epoch });
    const compare = before ? { key, changedAt: before.revision } : ({ key, isAbsent: true } as const);
    const { succeeded } = await this.#client.txn({ if: [compare], then: [{ put: key, value }] });
    if (!succeeded && epoch === this.#epoch) await this.#claimLead(epoch);
  }

  #hearOfPrimary(found: KeyValue): void {
    const led = this.leads;
    this.#primary = readPrimary(found);
    const { leads } = this;
    if (leads !== null) this.#listener.event({ kind: 'leads', epoch: leads });
    else if (led !== null) this.#listener.event({ kind: 'deposed', epoch: led, by: this.#primary.epoch });
  }

  #hearOfTurn({ value }: KeyValue): void {
    const { writer, number } = JSON.parse(value.toString('utf8')) as EntryName;
    this.#turn = { writer, number, until: performance.now() + TURN_MS };
  }

  hear(): void {
    // All that writers have to say to each other is in the log.
  }

  survey({ number }: Survey): void {
    const ask = async (): Promise<void> => {
      const { found } = await this.#client.get(this.#layout.head);
      await this.#isKnown(found[0]?.revision ?? 0);
      this.#listener.frontier({ kind: 'frontier', node: NODE, number, frontier: this.#reached });
    };
    // Whoever waits asks again.
    ask().catch(() => undefined);
  }

  // --- now and then ------------------------------------------------------------------------------------------------------

  tick(horizon: Vector): void {
    this.#openIfApplied();
    const now = performance.now();
    if (this.#following && now - this.#lookedAt > LOOK_MS) {
      this.#lookedAt = now;
      void this.#look().catch((error: unknown) => this.#seen(false, DbproxyError.from(error).message));
    }
    if (this.#state === 'open' && now - this.#horizonAt > HORIZON_MS) {
      this.#horizonAt = now;
      this.#keys.truncate(horizon);
      void this.#tidy(horizon).catch(() => undefined);
    }
  }

  /** A watch that has nothing to say and one that is broken look the same. */
  async #look(): Promise<void> {
    const before = this.#known;
    const { found, revision } = await this.#client.get(this.#layout.head);
    this.#seen(true, '');
    if (revision < before) return this.#stop(WENT_BACK);
    const newest = found[0]?.revision ?? 0;
    if (newest <= this.#known) return;
    await delay(LOOK_MS, undefined, { signal: this.#end.signal });
    if (this.#known === before) this.#following?.again();
  }

  async #tidy(horizon: Vector): Promise<void> {
    if (this.#isTidying) return;
    this.#isTidying = true;
    try {
      await this.#place.tell(horizon);
      if (this.#place.lost !== null) return this.#giveWay();
      if (this.leads !== null) await truncate(this.#client, this.#layout, this.#config.writers);
    } finally {
      this.#isTidying = false;
    }
  }

  close(): void {
    this.#end.abort();
    this.#following?.close();
    this.#client.close();
  }

  get #isOver(): boolean {
    return this.#end.signal.aborted || this.#state === 'fenced';
  }

  #pause(): Promise<void> {
    return delay(RETRY_MS, undefined, { signal: this.#end.signal }).catch(() => undefined);
  }

  #giveWay(): void {
    if (this.#place.lost === 'newer') return this.#fence();
    this.#stop('what was on etcd is not there any more: it was emptied, or an old copy was put back');
  }

  #fence(): void {
    if (this.#state === 'fenced') return;
    this.#state = 'fenced';
    this.#following?.close();
    this.#listener.effect({ kind: 'fenced' });
  }

  #stop(why: string): void {
    this.#end.abort();
    this.#following?.close();
    this.#listener.stopped('diverged', why);
  }

  #seen(isReachable: boolean, why: string): void {
    if (isReachable === this.#isReachable) return;
    this.#isReachable = isReachable;
    this.#listener.reachable(NODE, isReachable, why);
  }
}

const readPrimary = ({ value }: KeyValue): NonNullable<Log['primary']> =>
  JSON.parse(value.toString('utf8')) as NonNullable<Log['primary']>;
