/**
 * Group commit, the writer's side of it: what a writer has to say to the nodes goes out together. To wake a node for one transaction,
 * and to be woken for its vote, takes longer than the vote.
 *
 * As PostgreSQL's `commit_delay` and `commit_siblings`, with one more condition: as many as are waited for were on their way at once
 * of late. Clients that queue for one row never are, however many have begun a transaction: they would wait for nobody.
 */
import type { ToNode } from '../protocol/index.js';

/** What is said to the nodes waits no longer for company. */
const WAIT_MS = 5;
/** With fewer transactions that have begun nothing waits: a client that is alone, or nearly, is answered at once. */
const SIBLINGS = 3;
/** Of the transactions that may be proposed soon, so many are waited for. */
const EXPECTED = 0.75;

/** Of a writer, at the moment: transactions that may be proposed soon, and those that are and have no outcome. */
export interface Company {
  readonly open: number;
  readonly inFlight: number;
}

export class Gather {
  readonly #company: () => Company;
  readonly #send: (messages: readonly ToNode[]) => void;
  #messages: ToNode[] = [];
  #proposals = 0;
  #atOnce = 0;
  #timer: NodeJS.Timeout | null = null;
  #isTurn = false;

  constructor(company: () => Company, send: (messages: readonly ToNode[]) => void) {
    this.#company = company;
    this.#send = send;
  }

  add(message: ToNode): void {
    this.#messages.push(message);
    if (message.kind === 'propose') this.#proposals++;
    if (this.#isTurn) return;
    this.#isTurn = true;
    // What this turn of the loop brings from other sessions goes along.
    setImmediate(() => this.#endOfTurn());
  }

  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#messages = [];
  }

  #endOfTurn(): void {
    this.#isTurn = false;
    if (this.#messages.length === 0) return;
    const { open, inFlight } = this.#company();
    this.#atOnce = Math.max(this.#atOnce, inFlight);
    // Not all of those that could come: for the last of them the first would wait too long.
    const expected = Math.min(this.#atOnce, Math.floor(EXPECTED * (open + this.#proposals)));
    if (open < SIBLINGS || this.#proposals >= expected) return this.#flush();
    this.#timer ??= setTimeout(() => this.#waited(), WAIT_MS);
  }

  #waited(): void {
    this.#atOnce = this.#proposals;
    this.#flush();
  }

  #flush(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#proposals = 0;
    const messages = this.#messages;
    this.#messages = [];
    this.#send(messages);
  }
}
