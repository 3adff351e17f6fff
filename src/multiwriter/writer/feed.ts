/** What a writer tells people, as it happens. */
import type { WriterId } from '../protocol/index.js';
import type { WriterEvent } from './config.js';

type Body<T> = T extends unknown ? Omit<T, 'at' | 'writer'> : never;
type EventBody = Body<WriterEvent>;

export class Feed {
  readonly #writer: WriterId;
  readonly #listeners = new Set<(event: WriterEvent) => void>();

  constructor(writer: WriterId) {
    this.#writer = writer;
  }

  /** From now on; returns what ends it. */
  follow(listener: (event: WriterEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(body: EventBody): void {
    if (this.#listeners.size === 0) return;
    const event = { at: new Date().toISOString(), writer: this.#writer, ...body } as WriterEvent;
    for (const listener of this.#listeners) listener(event);
  }
}
