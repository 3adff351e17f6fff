/**
 * Group commit: what a node says is held back until the records it rests on are on disk. While one sync runs, everything that
 * comes in gathers for the next: one fdatasync for many votes. Instead of being appended, a batch may be written as part of what
 * replaces the log; so a log is replaced also under a load that never pauses.
 *
 * Also what rests on no record of its own waits for those before it: it may repeat a vote that is not on disk yet. Hearsay is said at
 * once; its record goes along with the next that somebody waits for.
 */
import { faultPoint } from '../../fault-point.js';
import { isHearsay, type NodeOutput, type NodeRecord, type NodeSend } from '../protocol/index.js';
import type { LogFile } from './log-file.js';

export interface Held {
  readonly output: NodeOutput;
  /** Called once, with what may be told: all of it, or nothing, when it could not be written. Null: nobody waits for it. */
  readonly release: ((sends: readonly NodeSend[]) => void) | null;
}

/**
 * Replaces the log by one that holds everything up to now, also the `records` (how many) of the batch that would be appended next.
 * What it writes is made before it first waits. False: there was no room, and the log is as it was.
 */
export type ReplaceLog = (records: number) => Promise<boolean>;

export class Journal {
  readonly #log: LogFile<NodeRecord>;
  readonly #failed: (error: Error) => void;
  #held: Held[] = [];
  #replaceLog: ReplaceLog | null = null;
  #isRunning = false;
  syncs = 0;

  /** `failed`: nothing that is held back will ever be said. */
  constructor(log: LogFile<NodeRecord>, failed: (error: Error) => void) {
    this.#log = log;
    this.#failed = failed;
  }

  push(held: Held): void {
    if (isHearsay(held.output)) {
      this.#held.push({ ...held, release: null });
      held.release?.(held.output.sends);
      return;
    }
    this.#held.push(held);
    if (!this.#isRunning) void this.#run();
  }

  /** Nothing more is pushed; what nobody waits for is written, too. */
  async close(): Promise<void> {
    await new Promise<unknown>((resolve) =>
      this.push({ output: { records: [], sends: [] }, release: resolve }),
    );
  }

  /** The next batch is not appended but written with it. */
  replaceLog(replace: ReplaceLog): void {
    this.#replaceLog = replace;
    if (!this.#isRunning) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      while (this.#replaceLog || this.#held.some(({ release }) => release)) await this.#flush();
    } catch (error) {
      const unsaid = this.#held;
      this.#held = [];
      this.#failed(error as Error);
      for (const { release } of unsaid) release?.([]);
    } finally {
      this.#isRunning = false;
    }
  }

  async #flush(): Promise<void> {
    // Whatever comes in within this turn of the loop belongs to the batch.
    await new Promise(setImmediate);
    const batch = [...this.#held];
    const records = batch.flatMap(({ output }) => output.records);
    const replace = this.#replaceLog;
    this.#replaceLog = null;
    const isReplaced = (await replace?.(records.length)) === true;
    if (records.length > 0 && !isReplaced) {
      await faultPoint('store.received');
      await this.#log.append(records, () => faultPoint('store.written'));
      this.syncs++;
      await faultPoint('store.synced');
    }
    this.#held.splice(0, batch.length);
    for (const { output, release } of batch) release?.(output.sends);
    if (records.length > 0) await faultPoint('store.told');
  }
}
