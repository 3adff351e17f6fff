/** The one operation that an instance runs: while it does no other begins, everybody may see how far it is, and give it up. */
import { DbproxyError } from '../../errors/index.js';
import type { CancelResult, HandoverRecord, MoveRecord, OperationProgress } from '../api.js';
import { Pause } from './pause.js';

/** To an operation, while it has the slot. */
export interface Given {
  /** Aborted when somebody gives it up. */
  readonly signal: AbortSignal;
  readonly pause: Pause;
  /** There is no way back for all of it any more, however it ends. */
  readonly pastReturn: () => void;
  readonly tell: (progress: OperationProgress) => void;
}

export class OperationSlot {
  readonly #instance: string;
  #running: OperationProgress | null = null;
  #givenUp = new AbortController();
  #ended: Promise<MoveRecord | HandoverRecord | DbproxyError> | null = null;
  #pause = new Pause();
  #isPastReturn = false;

  constructor(instance: string) {
    this.#instance = instance;
  }

  get running(): OperationProgress | null {
    return this.#running;
  }

  /** Throws DBP_INSTANCE_BUSY. */
  assertFree(): void {
    if (!this.#running) return;
    const { operation, id, step, detail } = this.#running;
    const progress = detail === '' ? step : `${step} (${detail})`;
    throw new DbproxyError('DBP_INSTANCE_BUSY', { operation, id, progress });
  }

  /** Throws DBP_INSTANCE_BUSY, and what `work` throws. */
  async take<Done extends MoveRecord | HandoverRecord>(
    operation: OperationProgress['operation'],
    work: (given: Given) => Promise<Done>,
  ): Promise<Done> {
    this.assertFree();
    const startedAt = new Date().toISOString();
    this.#running = { id: '', operation, step: 'provision', detail: 'starting', attempt: 0, startedAt };
    this.#givenUp = new AbortController();
    this.#pause = new Pause();
    this.#isPastReturn = false;
    const given: Given = {
      signal: this.#givenUp.signal,
      pause: this.#pause,
      pastReturn: () => (this.#isPastReturn = true),
      tell: (progress) => (this.#running = progress),
    };
    const done = work(given).finally(() => (this.#running = null));
    this.#ended = done.catch((error: unknown) => DbproxyError.from(error));
    return done;
  }

  /** See SupervisorApi. */
  goOn(): void {
    this.#pause.goOn();
  }

  /** See SupervisorApi. */
  async cancel(): Promise<CancelResult> {
    const about = { schema: 'dbproxy.cancel/1', instance: this.#instance } as const;
    const running = this.#running;
    const ended = this.#ended;
    if (!running || !ended) return { ...about, operation: null, id: null, outcome: null };
    const { operation, step } = running;
    this.#givenUp.abort(new DbproxyError('DBP_SWITCH_ROLLED_BACK', { step, reason: 'it was given up' }));
    const end = await ended;
    const id = (end instanceof DbproxyError ? running.id : end.operation) || null;
    return { ...about, operation, id, outcome: this.#outcomeOf(end) };
  }

  /** Of a patch --self that was not completed there is no record. */
  #outcomeOf(ended: MoveRecord | HandoverRecord | DbproxyError): MoveRecord['outcome'] {
    if (!(ended instanceof DbproxyError)) return 'outcome' in ended ? ended.outcome : 'completed';
    return this.#isPastReturn ? 'completed' : 'rolled-back';
  }
}
