/** A peer broke the protocol; the connection ends with this as a FATAL error. */
export class ProtocolViolation extends Error {
  override readonly name = 'ProtocolViolation';
  /** SQLSTATE (manual, appendix A). */
  readonly sqlstate: string;

  constructor(message: string, sqlstate = '08P01') {
    super(message);
    this.sqlstate = sqlstate;
  }
}
