/** What a session that is certified is to the relay, whose engine it stands before. */
import type { DbproxyError } from '../../errors/index.js';
import type { Link } from '../link.js';

export interface CertifierHost {
  readonly session: number;
  /** Bytes of the client's, in order; the buffer is ours for good. */
  toClient(bytes: Buffer): void;
  /** A chunk as the engine sent it; lent. */
  passToClient(link: Link, chunk: Buffer, bytes: number): void;
  drained(): void;
  engineEnded(): void;
  engineClosed(): void;
  /** Nothing of ours is under way. */
  quiet(): void;
  /** A CancelRequest of ours is under way: one that comes too late for its statement would hit what others ask. */
  canceling(canceled: Promise<void>): void;
  fail(error: DbproxyError): void;
  /** The client's, as far as it is known. */
  encoding(): string | undefined;
  /** How the session reads its texts, as far as it is known. */
  standardConformingStrings(): boolean;
}
