/** The memory of a running operation: `operation.json` before each step, events, and progress for whoever asks. */
import type { EngineRecord } from '../../engine/types.js';
import type { Journal, SwitchoverStep } from '../../switchover/index.js';
import type { OperationProgress } from '../api.js';
import { faultPoint } from '../../fault-point.js';
import type { Instance } from '../instance.js';
import type { OperationRecord } from '../records.js';
import { makePrimary } from '../settle-operation.js';

export class OperationJournal implements Journal {
  readonly #instance: Instance;
  readonly #onProgress: (progress: OperationProgress) => void;
  readonly #reached: (step: SwitchoverStep) => Promise<void>;
  #record: OperationRecord;
  #writing: Promise<void> = Promise.resolve();

  /** `reached`: a step is on record, and goes on when it is done. */
  constructor(
    instance: Instance,
    record: Omit<OperationRecord, 'schema' | 'step' | 'detail' | 'attempt' | 'startedAt'>,
    onProgress: (progress: OperationProgress) => void,
    reached: (step: SwitchoverStep) => Promise<void> = () => Promise.resolve(),
  ) {
    this.#instance = instance;
    this.#onProgress = onProgress;
    this.#reached = reached;
    this.#record = {
      schema: 'dbproxy.operation/1',
      ...record,
      step: 'provision',
      detail: '',
      attempt: 0,
      startedAt: new Date().toISOString(),
    };
  }

  get progress(): OperationProgress {
    const { id, operation, step, detail, startedAt, attempt } = this.#record;
    return { id, operation, step, detail, startedAt, attempt };
  }

  async step(step: SwitchoverStep, detail: string): Promise<void> {
    const attempt = step === 'drain' ? this.#record.attempt + 1 : this.#record.attempt;
    await this.#write({ ...this.#record, step, detail, attempt }, true);
    this.#tell();
    await faultPoint(step);
    await this.#reached(step);
  }

  async mark(step: SwitchoverStep, detail: string): Promise<void> {
    const written = this.#write({ ...this.#record, step, detail }, false).catch((error: unknown) => {
      this.#instance.events.append('operation.step', `${step} could not be recorded: ${String(error)}`);
    });
    this.#tell();
    await faultPoint(step, written);
    await this.#reached(step);
  }

  settled(): Promise<void> {
    return this.#writing.catch(() => undefined);
  }

  attemptFailed(attempt: number, reason: string): void {
    const { id } = this.#record;
    this.#instance.events.append('operation.attempt', `${id}: attempt ${attempt} was given up: ${reason}`, {
      operation: id,
      attempt,
      reason,
    });
  }

  provisioned(target: EngineRecord): Promise<void> {
    return this.#instance.putEngine({ ...target, role: 'standby' });
  }

  /** Recovery starts what was there before, or finds this running. */
  starting(engine: EngineRecord): Promise<void> {
    return this.#instance.putEngine(engine);
  }

  moved(target: EngineRecord): Promise<void> {
    return makePrimary(this.#instance, target);
  }

  /** The operation has ended, and its end is on record elsewhere. */
  async close(): Promise<void> {
    await this.settled();
    await this.#instance.directory.removeOperation();
  }

  #write(record: OperationRecord, durable: boolean): Promise<void> {
    this.#record = record;
    this.#writing = this.settled().then(() => this.#instance.directory.writeOperation(record, { durable }));
    return this.#writing;
  }

  #tell(): void {
    const { id, step, detail, attempt } = this.#record;
    this.#instance.events.append('operation.step', `${id}: ${step}: ${detail}`, {
      operation: id,
      step,
      attempt,
    });
    this.#onProgress(this.progress);
  }
}
