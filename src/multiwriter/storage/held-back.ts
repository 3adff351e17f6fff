/**
 * A node that hears of one writer's proposals late, on purpose: so that others are before it, and the votes are split. For
 * demonstrations and tests; it ends by itself, so that whoever asked for it may die.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type ToNode, type WriterId, writerOf } from '../protocol/index.js';

export class HeldBack {
  #writer: WriterId = 0;
  #delayMs = 0;
  #untilMs = 0;
  #order: Promise<unknown> = Promise.resolve();

  /** From now on, for `forMs`; with a delay of 0 it is over. */
  set(writer: WriterId, delayMs: number, forMs: number): void {
    this.#writer = writer;
    this.#delayMs = delayMs;
    this.#untilMs = performance.now() + forMs;
  }

  /** Null: nothing is held back. */
  get delayMs(): number | null {
    return this.#delayMs > 0 && performance.now() < this.#untilMs ? this.#delayMs : null;
  }

  /** Null: they may go on at once. Those of one writer stay in their order. */
  wait(messages: readonly ToNode[]): Promise<unknown> | null {
    const { delayMs } = this;
    if (delayMs === null || !messages.some((message) => this.#isMeant(message))) return null;
    return (this.#order = Promise.all([this.#order, delay(delayMs)]));
  }

  #isMeant(message: ToNode): boolean {
    return message.kind === 'propose' && writerOf(message.proposal.lsn) === this.#writer;
  }
}
