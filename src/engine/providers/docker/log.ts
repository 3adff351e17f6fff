/**
 * The log of a container: the runtime has it while the container is there; before that is removed it goes to the engine's log
 * file, where `dbproxy logs` finds it when the instance is down.
 */
import { appendFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import type { EngineRecord } from '../../types.js';
import { answered, containerRuntime, ifThere, statusOf, type Container } from './runtime.js';

/** Lines of the log that go with an error. */
const TAIL_LINES = 40;

export const logTail = (container: Container, lines = TAIL_LINES): Promise<string> => read(container, lines);

export async function keepLog(
  container: Container,
  { logFile }: Pick<EngineRecord, 'logFile'>,
): Promise<void> {
  const text = await read(container).catch((error: unknown) => {
    // Of one that is being removed the runtime gives none.
    if (statusOf(error) !== null) return '';
    throw error;
  });
  // A directory that is gone takes its log with it.
  await appendFile(logFile, text, { mode: 0o600 }).catch(() => undefined);
}

async function read(container: Container, tail?: number): Promise<string> {
  const raw = await ifThere(
    container.logs({ stdout: true, stderr: true, ...(tail === undefined ? {} : { tail }) }),
  );
  return raw === undefined ? '' : demultiplex(raw).toString('utf8');
}

/** Each piece of either stream has a header of eight bytes: the stream, and the length (Docker's API, "Attach to a container"). */
function demultiplex(raw: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at + 8 <= raw.length;) {
    const end = at + 8 + raw.readUInt32BE(at + 4);
    pieces.push(raw.subarray(at + 8, end));
    at = end;
  }
  return Buffer.concat(pieces);
}

/** The last lines of a container's log; null when there is no such container. Throws DBP_ENV_DOCKER. */
export async function containerLog(name: string, lines: number): Promise<string | null> {
  const container = (await containerRuntime()).docker.getContainer(name);
  return (await ifThere(container.inspect())) === undefined ? null : logTail(container, lines);
}

/** Calls back for every line that is added to the log, until the signal, or until the container ends. */
export async function followContainerLog(
  name: string,
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<void> {
  const container = (await containerRuntime()).docker.getContainer(name);
  const raw = await answered(container.logs({ stdout: true, stderr: true, follow: true, tail: 0 }));
  const text = new PassThrough();
  const modem = container.modem as {
    demuxStream(from: NodeJS.ReadableStream, out: PassThrough, error: PassThrough): void;
  };
  modem.demuxStream(raw, text, text);
  const end = (): void => void text.end();
  raw.once('end', end).once('close', end).once('error', end);
  const stop = (): void => {
    (raw as NodeJS.ReadableStream & { destroy(): void }).destroy();
    end();
  };
  signal.addEventListener('abort', stop);
  for await (const line of createInterface({ input: text })) onLine(line);
  signal.removeEventListener('abort', stop);
}
