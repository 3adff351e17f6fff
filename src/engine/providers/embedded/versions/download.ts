/**
 * Brings a tarball here, whole and proven.
 *
 *   downloads/<name>.<integrity>.part ──▶ a connection that breaks, a process that dies: goes on from there (HTTP Range)
 *                                    └──▶ complete: SHA-512 against the registry's metadata, or it is thrown away
 *
 * The name of the file holds the integrity, so that what is appended to is always a piece of the same tarball. That it is
 * proves itself at the end: a piece that was damaged here is thrown away, and the download begins once more.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Response } from 'undici';
import { DbproxyError } from '../../../../errors/index.js';
import { networkReason, refused, RegistryTrouble, type OfferedVersion, type Registry } from './registry.js';

export interface Downloaded {
  readonly file: string;
  readonly bytes: number;
  /** Bytes that were here already when it began. */
  readonly resumedBytes: number;
}

export interface DownloadOptions {
  readonly signal?: AbortSignal | undefined;
  /** At most ten times a second; `totalBytes` is null when the registry does not say. */
  readonly onBytes?: ((bytes: number, totalBytes: number | null) => void) | undefined;
}

/** Tries in a row that brought no byte. */
const FRUITLESS_TRIES = 4;
const FIRST_PAUSE_MS = 200;
const REPORT_EVERY_MS = 100;

export const partFile = (directory: string, name: string, integrity: string): string =>
  join(directory, `${name}.${createHash('sha256').update(integrity).digest('hex').slice(0, 16)}.part`);

/** Throws RegistryTrouble, DBP_ENGINE_CORRUPT, and what the file system says. */
export async function download(
  registry: Registry,
  offered: OfferedVersion,
  file: string,
  options: DownloadOptions,
): Promise<Downloaded> {
  const resumedBytes = await sizeOf(file);
  await fetchAll(registry, offered.tarball, file, options);
  if (await isProven(file, offered.integrity)) return { file, bytes: await sizeOf(file), resumedBytes };
  await rm(file, { force: true });
  // Were the bytes that were here already the bad ones?
  if (resumedBytes > 0) return download(registry, offered, file, options);
  const { postgres: version, integrity } = offered;
  const reason = `its SHA-512 is not the registry's ${integrity.slice(0, 19)}…`;
  throw new DbproxyError('DBP_ENGINE_CORRUPT', { version, reason });
}

async function fetchAll(
  registry: Registry,
  url: string,
  file: string,
  options: DownloadOptions,
): Promise<void> {
  let fruitless = 0;
  for (;;) {
    const before = await sizeOf(file);
    try {
      return await fetchRest(registry, url, file, before, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof RegistryTrouble && error.passing)) throw error;
      fruitless = (await sizeOf(file)) > before ? 0 : fruitless + 1;
      if (fruitless >= FRUITLESS_TRIES) throw error;
      await delay(FIRST_PAUSE_MS * 2 ** fruitless, undefined, { signal: options.signal });
    }
  }
}

/** One request for what is missing. Resolves when the file is complete. */
async function fetchRest(
  registry: Registry,
  url: string,
  file: string,
  have: number,
  { signal, onBytes }: DownloadOptions,
): Promise<void> {
  const range = have === 0 ? {} : { range: `bytes=${have}-` };
  // Compressed once more, its length and its ranges would be those of something else.
  const response = await registry.get(url, { 'accept-encoding': 'identity', ...range }, signal);
  const part = partOf(response, have);
  if (part.kind === 'complete') return;
  if (part.kind === 'restart') {
    await rm(file, { force: true });
    throw new RegistryTrouble('it has less than was fetched from it before', true);
  }
  await append(response, file, part, { signal, onBytes });
  const got = await sizeOf(file);
  if (part.totalBytes !== null && got < part.totalBytes) {
    throw new RegistryTrouble(`the connection ended after ${got} of ${part.totalBytes} bytes`, true);
  }
}

/** Each chunk is in the file before the next one is taken: what a failure leaves is a true beginning of the tarball. */
async function append(
  { body }: Response,
  file: string,
  { from, totalBytes }: Extract<Part, { kind: 'body' }>,
  { signal, onBytes }: DownloadOptions,
): Promise<void> {
  const handle = await open(file, from === 0 ? 'w' : 'a', 0o600);
  let bytes = from;
  let reportedAt = 0;
  try {
    for await (const chunk of body ?? []) {
      await handle.appendFile(chunk as Uint8Array);
      bytes += (chunk as Uint8Array).length;
      if (performance.now() - reportedAt < REPORT_EVERY_MS) continue;
      reportedAt = performance.now();
      onBytes?.(bytes, totalBytes);
    }
  } catch (cause) {
    signal?.throwIfAborted();
    // The body of a fetch() fails with a TypeError (WHATWG Fetch, "network error"); everything else is the file's.
    if (cause instanceof TypeError) throw new RegistryTrouble(networkReason(cause), true, { cause });
    throw cause;
  } finally {
    await handle.close();
  }
  onBytes?.(bytes, totalBytes);
}

type Part =
  | { readonly kind: 'body'; readonly from: number; readonly totalBytes: number | null }
  | { readonly kind: 'complete' }
  | { readonly kind: 'restart' };

/** What a response to a request from byte `have` brings. Throws RegistryTrouble. */
function partOf(response: Response, have: number): Part {
  const { status, headers } = response;
  const [, start, total] = /^bytes (?:(\d+)-\d+|\*)\/(\d+)$/.exec(headers.get('content-range') ?? '') ?? [];
  if (status === 206 && Number(start) === have) {
    return { kind: 'body', from: have, totalBytes: total === undefined ? null : Number(total) };
  }
  // Range Not Satisfiable (RFC 9110, 15.5.17): nothing comes after what we have.
  if (status === 416) return Number(total) === have ? { kind: 'complete' } : { kind: 'restart' };
  if (status !== 200) throw refused(response);
  const length = headers.get('content-length');
  return { kind: 'body', from: 0, totalBytes: length === null ? null : Number(length) };
}

async function isProven(file: string, integrity: string): Promise<boolean> {
  const { default: ssri } = await import('ssri');
  return ssri.checkStream(createReadStream(file), integrity).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EINTEGRITY') return false;
      throw error;
    },
  );
}

const sizeOf = (file: string): Promise<number> =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  );
