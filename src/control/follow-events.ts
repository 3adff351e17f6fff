/** The events of an instance as they happen, each once and in order, whichever supervisor tells them. */
import { EventEmitter, on } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { LogEvent } from './api.js';
import { connectSupervisor, type Supervisor } from './client.js';
import { DbproxyError } from '../errors/index.js';

const RECONNECT_PAUSE_MS = 50;

/** Ends when the instance is stopped, or when `signal` is aborted. Throws what hinders the first connection. */
export async function* followEvents(
  instance: string,
  after: number,
  signal?: AbortSignal,
): AsyncGenerator<LogEvent, void> {
  let last = after;
  let everConnected = false;
  while (!signal?.aborted) {
    const supervisor = await connect(instance, everConnected);
    if (supervisor === 'stopped') return;
    if (supervisor !== 'not yet') {
      everConnected = true;
      const close = (): void => supervisor.close();
      signal?.addEventListener('abort', close, { once: true });
      try {
        for await (const event of eventsOf(supervisor, last)) {
          last = event.seq;
          yield event;
        }
      } finally {
        signal?.removeEventListener('abort', close);
        supervisor.close();
      }
    }
    // Its supervisor has gone, or was replaced: the next one goes on with the same numbers.
    await delay(RECONNECT_PAUSE_MS);
  }
}

/** Once there was one, whatever hinders the next (it is being replaced, it repairs) passes. */
async function connect(instance: string, again: boolean): Promise<Supervisor | 'stopped' | 'not yet'> {
  try {
    return await connectSupervisor(instance);
  } catch (error) {
    if (!again) throw error;
    return isError(error, 'DBP_INSTANCE_NOT_RUNNING') ? 'stopped' : 'not yet';
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
      (error: unknown) =>
        isError(error, 'DBP_SUPERVISOR_GONE') ? source.emit('end') : source.emit('error', error),
    );
  for await (const [event] of incoming) yield event as LogEvent;
}

const isError = (error: unknown, code: DbproxyError['code']): boolean =>
  error instanceof DbproxyError && error.code === code;
