/** The events of an instance as they happen, each once and in order, until the instance is stopped. */
import { EventEmitter, on } from 'node:events';
import type { LogEvent } from '../control/api.js';
import { connectSupervisor, type Supervisor } from '../control/client.js';
import { DbproxyError } from '../errors/index.js';

export async function* follow(instance: string, after: number): AsyncGenerator<LogEvent, void> {
  let last = after;
  for (;;) {
    const supervisor = await connectUnlessStopped(instance);
    if (!supervisor) return;
    try {
      for await (const event of eventsOf(supervisor, last)) {
        last = event.seq;
        yield event;
      }
      // Its supervisor has gone: the next one goes on with the same numbers.
    } finally {
      supervisor.close();
    }
  }
}

async function connectUnlessStopped(instance: string): Promise<Supervisor | null> {
  try {
    return await connectSupervisor(instance);
  } catch (error) {
    if (isError(error, 'DBP_INSTANCE_NOT_RUNNING')) return null;
    throw error;
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
