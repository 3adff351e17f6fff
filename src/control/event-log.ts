/**
 * The event log of an instance: `events.ndjson`, one event a line, only ever appended to. `seq` goes on where the last
 * supervisor left off; a line that its death tore is closed and skipped, never repaired.
 */
import { appendFile, open, readFile } from 'node:fs/promises';
import { EventEmitter } from 'node:events';
import { z } from 'zod';
import { logLine } from '../log-line.js';
import type { LogEvent } from './api.js';

const logEvent = z.object({
  seq: z.int(),
  at: z.string(),
  type: z.string(),
  message: z.string(),
  data: z.record(z.string(), z.unknown()).optional(),
});

/** Events that a full disk makes wait; of more the oldest are lost. */
const MOST_WAITING = 1_000;

export type EventData = Readonly<Record<string, unknown>>;

export class EventLog {
  readonly #file: string;
  readonly #live = new EventEmitter<{ event: [LogEvent] }>();
  #nextSeq: number;
  #writing: Promise<void> = Promise.resolve();
  /** Lines that are not in the file yet. */
  #waiting: string[] = [];
  /** The file may end within a line: the next one begins with the end of that. */
  #isTorn: boolean;

  private constructor(file: string, nextSeq: number, isTorn: boolean) {
    this.#file = file;
    this.#nextSeq = nextSeq;
    this.#isTorn = isTorn;
    this.#live.setMaxListeners(0);
  }

  static async open(file: string): Promise<EventLog> {
    const handle = await open(file, 'a+', 0o600);
    let text: string;
    try {
      text = await handle.readFile('utf8');
    } finally {
      await handle.close();
    }
    const isTorn = text !== '' && !text.endsWith('\n');
    return new EventLog(file, (parseEvents(text).at(-1)?.seq ?? 0) + 1, isTorn);
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
    this.#waiting.push(`${JSON.stringify(event)}\n`);
    this.#writing = this.#writing.then(() => this.#write());
    this.#live.emit('event', event);
    return event;
  }

  /** What a full disk does not take waits for the next event, or for whoever reads. Never rejects. */
  async #write(): Promise<void> {
    for (let line = this.#waiting[0]; line !== undefined; line = this.#waiting[0]) {
      try {
        await appendFile(this.#file, `${this.#isTorn ? '\n' : ''}${line}`);
        this.#waiting.shift();
        this.#isTorn = false;
      } catch (error) {
        this.#isTorn = true;
        if (this.#waiting.length > MOST_WAITING) this.#waiting.shift();
        logLine(`${this.#waiting.length} events are not written yet: ${String(error)}`);
        return;
      }
    }
  }

  /** Resolves when everything appended so far is in the file, or the disk has not taken it. */
  flush(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  /** All events after `seq`. */
  async since(seq: number): Promise<LogEvent[]> {
    await this.flush();
    return eventsIn(this.#file, seq);
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

/** All events of a log after `seq`, whoever writes it. Throws what reading a file throws. */
export const eventsIn = async (file: string, seq: number): Promise<LogEvent[]> =>
  parseEvents(await readFile(file, 'utf8')).filter((event) => event.seq > seq);

function parseEvents(text: string): LogEvent[] {
  return text.split('\n').flatMap((line) => {
    try {
      return [logEvent.parse(JSON.parse(line)) as LogEvent];
    } catch {
      return [];
    }
  });
}
