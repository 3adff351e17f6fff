/** How far the peers said their logs go. A peer that comes back with less has yesterday's data. */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { NodeId } from '../protocol/index.js';
import { isNoRoom } from '../../errors/no-room.js';

const schema = z.record(z.string(), z.number());

export class Remembered {
  readonly #path: string;
  readonly #positions: Map<NodeId, number>;
  #isSaved = true;

  private constructor(path: string, positions: Map<NodeId, number>) {
    this.#path = path;
    this.#positions = positions;
  }

  static async open(directory: string): Promise<Remembered> {
    const path = join(directory, 'peers.json');
    const text = await readFile(path, 'utf8').catch(() => '{}');
    // A memory aid: one that cannot be read remembers nothing.
    const parsed = schema.safeParse(parse(text));
    return new Remembered(path, new Map(Object.entries(parsed.data ?? {})));
  }

  /** Returns what was known before. */
  hear(node: NodeId, position: number): number {
    const known = this.#positions.get(node) ?? 0;
    if (position > known) {
      this.#positions.set(node, position);
      this.#isSaved = false;
    }
    return known;
  }

  /** What a full disk does not take is for the next time: what is not remembered costs nobody a commit. */
  async save(): Promise<void> {
    if (this.#isSaved) return;
    this.#isSaved = true;
    const making = `${this.#path}~`;
    try {
      await writeFile(making, JSON.stringify(Object.fromEntries(this.#positions)), { mode: 0o600 });
      await rename(making, this.#path);
    } catch (error) {
      this.#isSaved = false;
      await rm(making, { force: true });
      if (!isNoRoom(error)) throw error;
    }
  }
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
};
