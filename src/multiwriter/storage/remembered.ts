/** How far the peers said their logs go. A peer that comes back with less has yesterday's data. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { NodeId } from '../protocol/index.js';

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

  async save(): Promise<void> {
    if (this.#isSaved) return;
    this.#isSaved = true;
    const making = `${this.#path}~`;
    await writeFile(making, JSON.stringify(Object.fromEntries(this.#positions)), { mode: 0o600 });
    await rename(making, this.#path);
  }
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
};
