/** The events of an instance as they happen, each once and in order, whichever supervisor tells them. */
import { EventEmitter, on } from 'node:events';
import type { LogEvent } from './api.js';
import type { Supervisor } from './client.js';
import { DbproxyError } from '../errors/index.js';
import { supervisorsOf } from './supervisors.js';

/** Ends when the instance is stopped, or when `signal` is aborted. Throws what hinders the first connection. */
export async function* followEvents(
  instance: string,
  after: number,
  signal?: AbortSignal,
): AsyncGenerator<LogEvent, void> {
  let last = after;
  for await (const supervisor of supervisorsOf(instance, signal))
    // Each goes on with the same numbers.
    for await (const event of eventsOf(supervisor, last)) {
      last = event.seq;
      yield event;
    }
}

/** Ends when the supervisor goes away. */
async function* eventsOf(supervisor: Supervisor, after: number): AsyncGenerator<LogEvent, void> {
  const source = new EventEmitter<{ event: [LogEvent]; end: []; error: [unknown] }>();
  const incoming = on(source, 'event', { close: ['end'] });
  supervisor
    .call('events', { after, follow: true }, { onProgress: (event) => source.emit('event', event) })
    .then(
      () => source.emit('end'),
      (error: unknown) => (isGone(error) ? source.emit('end') : source.emit('error', error)),
    );
  for await (const [event] of incoming) yield event as LogEvent;
}

const isGone = (error: unknown): boolean =>
  error instanceof DbproxyError && error.code === 'DBP_SUPERVISOR_GONE';
