/** Writers of an instance and what they are called: the first one is the instance itself, the others are `shop.w2`, `shop.w3`. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstanceSpec } from '../api.js';
import { dbproxyHome } from '../paths.js';

export const MAX_WRITERS = 4;

/** As people say it: from 1. The protocol counts from 0. */
export type WriterNumber = number;

export const writerName = (instance: string, writer: WriterNumber): string =>
  writer === 1 ? instance : `${instance}.w${writer}`;

export interface WriterName {
  readonly instance: string;
  readonly writer: WriterNumber;
}

/** Null: it is no name of a further writer. */
export function parseWriterName(name: string): WriterName | null {
  const found = /^(.+)\.w([2-9])$/.exec(name);
  return found?.[1] === undefined ? null : { instance: found[1], writer: Number(found[2]) };
}

/** Which writer of which instance this one is; null: the only one. */
export function writerOf({ name, multiwriter, writerOf: parent }: InstanceSpec): WriterName | null {
  if (parent) return parent;
  return multiwriter ? { instance: name, writer: 1 } : null;
}

/** Names of the further writers that have a directory, running or not. */
export async function furtherWriters(instance: string, home = dbproxyHome()): Promise<string[]> {
  const names = await readdir(join(home, 'instances')).catch(() => []);
  return names.filter((name) => parseWriterName(name)?.instance === instance).sort();
}
