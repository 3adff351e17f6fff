/** A `scale` or `patch` that was rolled back: every session goes on where it was. */
import type { MoveRecord } from '../control/api.js';
import { DbproxyError, knownCode } from '../errors/index.js';

/** Its code is that of the reason: DBP_SWITCH_UNMOVABLE, DBP_SWITCH_DEADLINE, … */
export class RolledBackError extends DbproxyError {
  readonly record: MoveRecord;

  constructor(record: MoveRecord, { code, message, details }: NonNullable<MoveRecord['error']>) {
    super(knownCode(code), details ?? { reason: message });
    this.record = record;
  }
}
