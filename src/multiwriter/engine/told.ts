/** What an engine tells in notices while the proxy closes a transaction (sql/closing.ts). */
import { MAX_PROPOSAL_BYTES } from '../protocol/index.js';
import type { WriteSetRow } from './write-set.js';

/** SQLSTATEs, of no class of PostgreSQL's. */
const ROW = 'DBP0R';
const KEPT = 'DBP0K';
const DEFERS = 'DBP0D';

/** Fields of a NoticeResponse, as `pg` calls them. */
export interface Notice {
  readonly code?: string | undefined;
  readonly message?: string | undefined;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  readonly where?: string | undefined;
  readonly table?: string | undefined;
  readonly column?: string | undefined;
  readonly dataType?: string | undefined;
  readonly schema?: string | undefined;
  readonly constraint?: string | undefined;
}

/**
 * A function of ours was at work: its context names it first, with its arguments. What stands around the name is in the language of
 * lc_messages. A name that is more than letters and digits stands in quotes, and with quote_all_identifiers every name.
 */
const OURS =
  /^[^"(\n]*(?<![\w.$"])(?:dbproxy|"dbproxy")\.(?:"?capture_\d+"?\(\)|"?capture"?\("char",text,jsonb,text\)|"?guard"?\(\)|"?closing"?\(text\))/;

export class Told {
  readonly #rows: WriteSetRow[] = [];
  /** There are rows in the engine, too: WRITE_SET_QUERY gives them. */
  hasKept = false;
  /** Deferred triggers of clients may have been fired: `firingAgain` tells what they have deferred. */
  mayDefer = false;
  /** Somebody else says what only we would: such a transaction is none to commit. */
  isForged = false;
  #bytes = 0;

  get isTooLarge(): boolean {
    return this.#bytes > MAX_PROPOSAL_BYTES;
  }

  get isNothing(): boolean {
    return this.#rows.length === 0 && !this.hasKept && !this.isForged && !this.isTooLarge;
  }

  /** Of a notice that `isTold`. */
  take(notice: Notice): void {
    const { code, message = '', detail, hint, where, table, column, dataType = '' } = notice;
    if (!OURS.test(where ?? '')) this.isForged = true;
    else if (code === KEPT) this.hasKept = true;
    else if (code === DEFERS) this.mayDefer = true;
    else {
      this.#bytes += message.length + (column?.length ?? 0);
      if (this.isTooLarge) this.#rows.length = 0;
      else {
        const [oldAt, newAt] = [notice.schema, notice.constraint];
        this.#rows.push(
          [dataType, table, detail, hint, column, message, oldAt, newAt].map((one) => one ?? null),
        );
      }
    }
  }

  /** All that the transaction wrote; `kept`: what WRITE_SET_QUERY gave. */
  withKept(kept: readonly WriteSetRow[]): WriteSetRow[] {
    const isLate = (row: WriteSetRow): boolean => row[8] === 't';
    return [...kept.filter((row) => !isLate(row)), ...this.#rows, ...kept.filter(isLate)];
  }
}

/** By its SQLSTATE. */
export const isTold = (code: string | undefined): boolean => code === ROW || code === KEPT || code === DEFERS;
