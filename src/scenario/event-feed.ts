/** The events of the instance of a scenario: what has happened, and whoever wants to hear what happens. */
import type { LogEvent } from '../control/api.js';
import { followEvents } from '../control/follow-events.js';

/** What has been done is on record; to hear of it takes no longer than this. */
const ENDED_BOUND_MS = 5_000;
const ENDS: ReadonlySet<string> = new Set(['operation.completed', 'operation.rolled-back']);

export class EventFeed {
  readonly #instance: string;
  readonly #events: LogEvent[] = [];
  readonly #listeners = new Set<(event: LogEvent) => void>();
  readonly #end = new AbortController();

  private constructor(instance: string) {
    this.#instance = instance;
  }

  static open(instance: string): EventFeed {
    const feed = new EventFeed(instance);
    // That it cannot go on is told by whoever asks the instance next.
    void feed.#follow().catch(() => {});
    return feed;
  }

  get events(): readonly LogEvent[] {
    return this.#events;
  }

  /** Returns how to stop listening. */
  listen(listener: (event: LogEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The events of an operation, once its end is among them (or the bound has run out). */
  async ofOperation(operation: string): Promise<LogEvent[]> {
    const found = (): LogEvent[] => this.#events.filter(({ data }) => data?.operation === operation);
    const isOver = (): boolean => found().some(({ type }) => ENDS.has(type));
    if (!isOver()) {
      await new Promise<void>((resolve) => {
        const bound = setTimeout(resolve, ENDED_BOUND_MS);
        const stop = this.listen(() => {
          if (!isOver()) return;
          clearTimeout(bound);
          stop();
          resolve();
        });
      });
    }
    return found();
  }

  close(): void {
    this.#end.abort();
  }

  async #follow(): Promise<void> {
    for await (const event of followEvents(this.#instance, 0, this.#end.signal)) this.#hear(event);
  }

  #hear(event: LogEvent): void {
    this.#events.push(event);
    for (const listener of [...this.#listeners]) listener(event);
  }
}
