/**
 * Follows what comes on a connection of the load, without an object for each message: statements of ours want to know how
 * they ended and nothing else; whatever came while none of ours was in flight belongs to the driver.
 *
 *   socket ── take(buffer) ──▶ of ours: ready, failed, rolledBack
 *                          └─▶ all other messages, as bytes ──▶ driver
 *
 * Whose a message is, is decided at its first byte and holds to its last one, however it is cut (PostgreSQL manual, "Message Formats").
 */
import { Backend, errorFields } from '../protocol/index.js';

/** Nothing is kept of the buffers that are lent. */
export interface AnswersOwner {
  /** A statement of ours is in flight: what begins now is its answer. */
  readonly inFlight: boolean;
  /** ReadyForQuery. */
  ready(): void;
  /** ErrorResponse; ReadyForQuery follows, unless it is FATAL. */
  failed(error: AnswerError): void;
  /** CommandComplete of a ROLLBACK (also what COMMIT of an aborted transaction says). */
  rolledBack(): void;
  /** The statement wants data. */
  copyIn(): void;
  /** Bytes of the driver. */
  driver(bytes: Buffer): void;
  /** It is not the protocol. */
  broken(): void;
}

/** An ErrorResponse, with the fields of which `classify` makes something. */
export class AnswerError extends Error {
  readonly code: string;
  readonly severity: string;
  constructor(body: Buffer) {
    const fields = errorFields(body);
    super(fields.get('M') ?? '');
    this.code = fields.get('C') ?? '';
    this.severity = fields.get('V') ?? fields.get('S') ?? '';
  }
}

const { CommandComplete, CopyInResponse, ErrorResponse, ReadyForQuery } = Backend;
const HEADER_BYTES = 5;
const ROLLBACK = Buffer.from('ROLLBACK\0');

export class Answers {
  readonly #owner: AnswersOwner;
  /** Of the message that is under way: to whom it goes, what it is, what of its body is still to come. */
  #isOurs = false;
  #type = 0;
  #need = 0;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  #body: Buffer[] = [];

  constructor(owner: AnswersOwner) {
    this.#owner = owner;
  }

  take(buffer: Buffer, end: number): void {
    let at = 0;
    /** From where on bytes of the driver have not been given to it; −1: there are none. */
    let driverFrom = -1;
    while (at < end) {
      if (this.#need === 0 && this.#headerBytes === 0) this.#isOurs = this.#owner.inFlight;
      if (!this.#isOurs) {
        if (driverFrom < 0) driverFrom = at;
      } else if (driverFrom >= 0) {
        this.#giveToDriver(buffer, driverFrom, at);
        driverFrom = -1;
      }
      if (this.#need > 0) at = this.#goOn(buffer, at, end);
      else if (this.#headerBytes > 0 || end - at < HEADER_BYTES) at = this.#goOnWithHeader(buffer, at, end);
      else {
        const bodyAt = at + HEADER_BYTES;
        if (!this.#begin(buffer, at)) return;
        at = bodyAt + this.#need;
        if (at > end) at = this.#goOn(buffer, bodyAt, end);
        else {
          this.#need = 0;
          if (this.#isOurs) this.#show(buffer, bodyAt, at);
        }
      }
    }
    if (driverFrom >= 0) this.#giveToDriver(buffer, driverFrom, end);
  }

  #begin(buffer: Buffer, at: number): boolean {
    this.#type = buffer[at] as number;
    this.#need = buffer.readInt32BE(at + 1) - 4;
    if (this.#need >= 0) return true;
    this.#owner.broken();
    return false;
  }

  /** The header was cut. */
  #goOnWithHeader(buffer: Buffer, at: number, end: number): number {
    const taken = Math.min(HEADER_BYTES - this.#headerBytes, end - at);
    buffer.copy(this.#header, this.#headerBytes, at, at + taken);
    this.#headerBytes += taken;
    if (this.#headerBytes < HEADER_BYTES) return end;
    this.#headerBytes = 0;
    return this.#begin(this.#header, 0) ? at + taken : end;
  }

  /** The body was cut: what is looked at is put together, the rest passes. */
  #goOn(buffer: Buffer, at: number, end: number): number {
    const next = Math.min(at + this.#need, end);
    this.#need -= next - at;
    if (!this.#isOurs || !isLookedAt(this.#type)) return next;
    this.#body.push(Buffer.from(buffer.subarray(at, next)));
    if (this.#need > 0) return next;
    const body = Buffer.concat(this.#body);
    this.#body = [];
    this.#show(body, 0, body.length);
    return next;
  }

  #show(buffer: Buffer, start: number, end: number): void {
    const owner = this.#owner;
    switch (this.#type) {
      case ReadyForQuery:
        return owner.ready();
      case CommandComplete:
        // The first byte rules out nearly all.
        if (buffer[start] === ROLLBACK[0] && ROLLBACK.equals(buffer.subarray(start, end))) owner.rolledBack();
        return;
      case ErrorResponse:
        return owner.failed(new AnswerError(buffer.subarray(start, end)));
      case CopyInResponse:
        return owner.copyIn();
    }
  }

  /** The driver may keep what it is given. */
  #giveToDriver(buffer: Buffer, start: number, end: number): void {
    this.#owner.driver(Buffer.from(buffer.subarray(start, end)));
  }
}

const isLookedAt = (type: number): boolean =>
  type === ReadyForQuery || type === CommandComplete || type === ErrorResponse || type === CopyInResponse;
