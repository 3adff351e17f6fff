/** The events of an instance as they happen, also when its supervisor is replaced meanwhile. */
import { setTimeout as delay } from 'node:timers/promises';
import type { LogEvent } from '../control/api.js';
import { connectSupervisor, type Supervisor } from '../control/client.js';

const RECONNECT_PAUSE_MS = 50;
/** What has been done is on record; to hear of it takes no longer than this. */
const ENDED_BOUND_MS = 5_000;
const ENDS: ReadonlySet<string> = new Set(['operation.completed', 'operation.rolled-back']);

export class EventFeed {
  readonly #instance: string;
  readonly #events: LogEvent[] = [];
  readonly #listeners = new Set<(event: LogEvent) => void>();
  #supervisor: Supervisor | undefined;
  #closed = false;

  private constructor(instance: string) {
    this.#instance = instance;
  }

  static open(instance: string): EventFeed {
    const feed = new EventFeed(instance);
    void feed.#follow();
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
    this.#closed = true;
    this.#supervisor?.close();
  }

  async #follow(): Promise<void> {
    while (!this.#closed) {
      try {
        this.#supervisor = await connectSupervisor(this.#instance);
        if (this.#closed) return this.#supervisor.close();
        const after = this.#events.at(-1)?.seq ?? 0;
        await this.#supervisor.call(
          'events',
          { after, follow: true },
          { onProgress: (event) => this.#hear(event) },
        );
      } catch {
        // It was replaced, or is being started again.
        await delay(RECONNECT_PAUSE_MS);
      }
    }
  }

  #hear(event: LogEvent): void {
    this.#events.push(event);
    for (const listener of [...this.#listeners]) listener(event);
  }
}
