/** What must not be forgotten when the supervisor dies: `autoscaler.json`. */
import type { InstanceDirectory } from '../instance-directory.js';
import type { AutoscaleRecord } from '../records.js';
import { DEFAULT_POLICY } from './policy.js';

/** A cool-down that failures have made longer is at most this, unless it was asked for. */
const LONGEST_BACK_OFF_MS = 3_600_000;

const NEVER_ON: AutoscaleRecord = {
  schema: 'dbproxy.autoscaler/1',
  enabled: false,
  policy: DEFAULT_POLICY,
  size: null,
  restsSince: null,
  failures: 0,
  last: null,
};

export class AutoscaleMemory {
  readonly #directory: InstanceDirectory;
  #record = NEVER_ON;
  #writing: Promise<void> = Promise.resolve();
  /** Somebody has asked for it once. */
  exists = false;

  constructor(directory: InstanceDirectory) {
    this.#directory = directory;
  }

  /** Throws DBP_INSTANCE_DAMAGED; then it is as if it had never been on. */
  async load(): Promise<void> {
    const found = await this.#directory.readAutoscaler();
    this.exists = found !== null;
    this.#record = found ?? NEVER_ON;
  }

  get record(): AutoscaleRecord {
    return this.#record;
  }

  /** Changes the record in memory now, and on disk when this resolves. */
  change(change: Partial<Omit<AutoscaleRecord, 'schema'>>): Promise<void> {
    this.exists = true;
    const record = { ...this.#record, ...change };
    this.#record = record;
    this.#writing = this.settled().then(() => this.#directory.writeAutoscaler(record));
    return this.#writing;
  }

  settled(): Promise<void> {
    return this.#writing.catch(() => undefined);
  }

  /** What is left of the cool-down. Twice as long after an attempt that failed, and again after the next. */
  get coolDownMs(): number {
    const { restsSince, failures, policy } = this.#record;
    if (restsSince === null) return 0;
    const longest = Math.max(policy.cooldownMs, LONGEST_BACK_OFF_MS);
    const wholeMs = Math.min(policy.cooldownMs * 2 ** failures, longest);
    // A clock that was set back must not make it longer.
    const passedMs = Math.max(0, Date.now() - Date.parse(restsSince));
    return Math.max(0, Math.round(wholeMs - passedMs));
  }
}
