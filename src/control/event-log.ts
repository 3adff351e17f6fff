/**
 * The event log of an instance: `events.ndjson`, one event a line, only ever appended to. `seq` goes on where the last
 * supervisor left off; a line that its death tore is closed and skipped, never repaired.
 */
import { appendFile, open } from 'node:fs/promises';
import { EventEmitter } from 'node:events';
import { z } from 'zod';
import type { LogEvent } from './api.js';

const logEvent = z.object({
  seq: z.int(),
  at: z.string(),
  type: z.string(),
  message: z.string(),
  data: z.record(z.string(), z.unknown()).optional(),
});

export type EventData = Readonly<Record<string, unknown>>;

export class EventLog {
  readonly #file: string;
  readonly #live = new EventEmitter<{ event: [LogEvent] }>();
  #nextSeq: number;
  #writing: Promise<void> = Promise.resolve();

  private constructor(file: string, nextSeq: number) {
    this.#file = file;
    this.#nextSeq = nextSeq;
    this.#live.setMaxListeners(0);
  }

  static async open(file: string): Promise<EventLog> {
    const handle = await open(file, 'a+', 0o600);
    let text: string;
    try {
      text = await handle.readFile('utf8');
      if (text !== '' && !text.endsWith('\n')) await handle.appendFile('\n');
    } finally {
      await handle.close();
    }
    return new EventLog(file, (parseEvents(text).at(-1)?.seq ?? 0) + 1);
  }

  /** Numbers the event and tells the followers at once; the line is on its way to the file, in order. */
  append(type: string, message: string, data?: EventData): LogEvent {
    const event: LogEvent = {
      seq: this.#nextSeq++,
      at: new Date().toISOString(),
      type,
      message,
      ...(data ? { data } : {}),
    };
    this.#writing = this.#writing
      .then(() => appendFile(this.#file, `${JSON.stringify(event)}\n`))
      .catch((error: unknown) => {
        process.stderr.write(`event ${event.seq} (${type}: ${message}) was not written: ${String(error)}\n`);
      });
    this.#live.emit('event', event);
    return event;
  }

  /** Resolves when everything appended so far is in the file. */
  flush(): Promise<void> {
    return this.#writing;
  }

  /** All events after `seq`. */
  async since(seq: number): Promise<LogEvent[]> {
    await this.flush();
    const handle = await open(this.#file, 'r');
    try {
      return parseEvents(await handle.readFile('utf8')).filter((event) => event.seq > seq);
    } finally {
      await handle.close();
    }
  }

  /** Calls back for every event after `seq`, old and new, each once and in order, until the signal aborts. */
  async follow(seq: number, signal: AbortSignal, onEvent: (event: LogEvent) => void): Promise<void> {
    let last = seq;
    let waiting: LogEvent[] | null = [];
    const deliver = (event: LogEvent): void => {
      if (event.seq <= last) return;
      last = event.seq;
      onEvent(event);
    };
    const listen = (event: LogEvent): void => {
      if (waiting) waiting.push(event);
      else deliver(event);
    };
    this.#live.on('event', listen);
    try {
      (await this.since(seq)).forEach(deliver);
      waiting.forEach(deliver);
      waiting = null;
      if (!signal.aborted) {
        await new Promise<void>((resolve) =>
          signal.addEventListener('abort', () => resolve(), { once: true }),
        );
      }
    } finally {
      this.#live.off('event', listen);
    }
  }
}

function parseEvents(text: string): LogEvent[] {
  return text.split('\n').flatMap((line) => {
    try {
      return [logEvent.parse(JSON.parse(line)) as LogEvent];
    } catch {
      return [];
    }
  });
}
