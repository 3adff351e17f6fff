/**
 * What became of transactions that collided, told as one story: what each storage node said to whom, what the primary decided and
 * why, what the loser's client saw. Its parts are events of several proxies, and come in any order.
 */
import {
  labelOf,
  writerOf,
  type Lsn,
  type Reason,
  type Refusal,
  type Ruling,
} from '../../multiwriter/protocol/index.js';
import type { WriterEvent } from '../../multiwriter/writer/config.js';

/** One of the transactions that a verdict is about. */
export interface JudgedTransaction {
  readonly lsn: number;
  /** `w2` */
  readonly writer: string;
  readonly outcome: 'commit' | 'abort';
  /** Why, in words: `collides with 16390 of w1, which commits`. */
  readonly reason: string;
  readonly reasonKind: Reason['kind'];
  /** The storage nodes that had accepted it, of those that the primary heard. */
  readonly accepted: readonly string[];
  readonly heard: readonly string[];
  /** What nodes answered its writer instead of a vote. */
  readonly refusals: readonly { readonly node: string; readonly reason: string }[];
  /** What it is about: `update of accounts (id)=(1)`, as its writer says it; null: nobody refused it. */
  readonly about: string | null;
  /** What its client was told; null where it commits. */
  readonly client: { readonly sqlstate: string; readonly message: string; readonly detail: string } | null;
}

export interface Verdict {
  readonly at: string;
  /** Who decided. */
  readonly primary: string;
  readonly epoch: number;
  readonly slot: number;
  /** The transaction whose writer asked. */
  readonly asked: number;
  /** Two or more of them had votes, or one had some of them, and no one enough. */
  readonly split: boolean;
  readonly transactions: readonly JudgedTransaction[];
}

type Told<Kind extends WriterEvent['kind']> = Extract<WriterEvent, { kind: Kind }>;
type Decided = Told<'decided'>;

/** How long a verdict waits for what the losers' clients were told. */
const COMPLETE_WITHIN_MS = 500;
const KEPT_PARTS = 5_000;
const KEPT_VERDICTS = 200;

export class Verdicts {
  readonly #contested = new Map<Lsn, Told<'contested'>[]>();
  readonly #refused = new Map<Lsn, Told<'refused'>>();
  readonly #pending = new Map<Decided, NodeJS.Timeout>();
  readonly #followers = new Set<(verdict: Verdict) => void>();
  #last: Verdict[] = [];

  hear(event: WriterEvent): void {
    switch (event.kind) {
      case 'contested':
        remember(this.#contested, event.lsn, [...(this.#contested.get(event.lsn) ?? []), event]);
        break;
      case 'refused':
        if (event.lsn === null) break;
        remember(this.#refused, event.lsn, event);
        this.#settle();
        break;
      case 'decided':
        if (event.decision.kind !== 'verdict') break;
        this.#pending.set(event, setTimeout(() => this.#tell(event), COMPLETE_WITHIN_MS).unref());
        this.#settle();
        break;
      default:
        // The rest is about writers, not about transactions.
        break;
    }
  }

  /** The newest ones, oldest first. */
  last(count: number): readonly Verdict[] {
    return this.#last.slice(-count);
  }

  follow(tell: (verdict: Verdict) => void, signal: AbortSignal): void {
    this.#followers.add(tell);
    signal.addEventListener('abort', () => this.#followers.delete(tell));
  }

  #settle(): void {
    for (const event of this.#pending.keys()) {
      const losers = rulingsOf(event).filter(({ outcome }) => outcome === 'abort');
      if (losers.every(({ lsn }) => this.#refused.has(lsn))) this.#tell(event);
    }
  }

  #tell(event: Decided): void {
    clearTimeout(this.#pending.get(event));
    if (!this.#pending.delete(event) || event.decision.kind !== 'verdict') return;
    const rulings = rulingsOf(event);
    const verdict: Verdict = {
      at: event.at,
      primary: event.by ?? labelOf(event.writer),
      epoch: event.epoch,
      slot: event.slot,
      asked: event.decision.asked,
      split: rulings.some(({ accepted, heard }) => accepted.length > 0 && accepted.length < heard.length),
      transactions: rulings.map((ruling) => this.#judged(ruling)),
    };
    this.#last = [...this.#last, verdict].slice(-KEPT_VERDICTS);
    for (const tell of this.#followers) tell(verdict);
  }

  #judged({ lsn, outcome, reason, accepted, heard }: Ruling): JudgedTransaction {
    const contested = this.#contested.get(lsn) ?? [];
    const refused = this.#refused.get(lsn);
    return {
      ...{ lsn, outcome, accepted, heard },
      writer: labelOf(writerOf(lsn)),
      reason: reasonText(reason),
      reasonKind: reason.kind,
      refusals: contested.map(({ node, refusal }) => ({ node, reason: refusalText(refusal) })),
      about: contested[0]?.about ?? null,
      client: refused
        ? { sqlstate: refused.sqlstate, message: refused.message, detail: refused.detail }
        : null,
    };
  }
}

/** One line for the event log. */
export function verdictLine({ primary, transactions, slot }: Verdict): string {
  const side = (outcome: JudgedTransaction['outcome']): string =>
    transactions
      .filter((one) => one.outcome === outcome)
      .map(({ writer, lsn }) => `${writer}:${lsn}`)
      .join(', ');
  const about = transactions.find((one) => one.about !== null)?.about ?? '';
  const parts = [
    side('commit') && `${side('commit')} commits`,
    side('abort') && `${side('abort')} aborts`,
    about,
  ].filter((part) => part !== '');
  return `verdict ${slot} of ${primary}: ${parts.join('; ')}`;
}

const rulingsOf = ({ decision }: Decided): readonly Ruling[] =>
  decision.kind === 'verdict' ? decision.rulings : [];

function reasonText(reason: Reason): string {
  switch (reason.kind) {
    case 'known':
      return 'it was decided before';
    case 'possibly-chosen':
      return 'so many nodes accepted it that it may have been acknowledged';
    case 'policy':
      return 'it comes first by the policy';
    case 'loses':
      return `it collides with ${reason.against} of ${labelOf(writerOf(reason.against))}, which commits`;
    case 'too-old':
      return 'it began before what the nodes still know';
    case 'abandoned':
      return 'its writer is gone, and nobody can have been told that it committed';
  }
}

function refusalText(refusal: Refusal): string {
  switch (refusal.kind) {
    case 'conflict':
      return `it has accepted ${refusal.against} of ${labelOf(writerOf(refusal.against))}, with the same key`;
    default:
      return refusal.kind;
  }
}

/** Parts of verdicts that never came are forgotten, oldest first. */
function remember<K, V>(map: Map<K, V>, key: K, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= KEPT_PARTS) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
