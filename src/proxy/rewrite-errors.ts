/**
 * Replaces ErrorResponses on their way to a client, for the few sessions and moments that need it. Begins anywhere in the stream:
 * what a client slow to read has not got yet ends in the middle of a row.
 */
import { Backend, encode, errorFields, type ErrorFields, type StreamImage } from '../protocol/index.js';

/** What the client reads instead of the engine's error with these fields (manual 54.8); null: the engine's own. */
export type ErrorRewrite = (fields: ReadonlyMap<string, string>) => ErrorFields | null;

/** Type and length of a message, bytes. */
const HEADER_BYTES = 5;
const NOTHING = Buffer.alloc(0);

export class ErrorRewriter {
  rewrite: ErrorRewrite;
  /** What the client already has the beginning of: so many bytes of its body are still to come. */
  #need: number;
  /** Of a header that the client already has the beginning of. */
  #begun: Buffer;
  /** An ErrorResponse, or the header of a message, that has not all come. */
  #kept: Buffer = NOTHING;

  /** `position`: where the engine's stream stands. */
  constructor(rewrite: ErrorRewrite, { need, header }: Pick<StreamImage, 'need' | 'header'>) {
    this.rewrite = rewrite;
    this.#need = need;
    this.#begun = header;
  }

  /** Bytes that the client has not been given, and that it would get first. */
  get kept(): Buffer {
    return this.#kept;
  }

  /** What the client gets of these bytes, and of those kept before. The result is a copy. */
  push(bytes: Buffer): Buffer {
    const all = Buffer.concat([this.#kept, bytes]);
    this.#kept = NOTHING;
    const parts: Buffer[] = [];
    let at = this.#endOfBegun(all);
    if (at > 0) parts.push(all.subarray(0, at));
    while (at < all.length) {
      const end = all.length - at < HEADER_BYTES ? Infinity : at + 1 + all.readInt32BE(at + 1);
      const isError = all[at] === Backend.ErrorResponse;
      if (end === Infinity || (isError && end > all.length)) {
        this.#kept = all.subarray(at);
        break;
      }
      const error = isError ? this.rewrite(errorFields(all.subarray(at + HEADER_BYTES, end))) : null;
      parts.push(error ? encode.errorResponse(error) : all.subarray(at, end));
      this.#need = Math.max(0, end - all.length);
      at = end;
    }
    return Buffer.concat(parts);
  }

  /** Up to where the bytes belong to a message that the client has the beginning of. */
  #endOfBegun(bytes: Buffer): number {
    const missing = this.#begun.length > 0 ? HEADER_BYTES - this.#begun.length : 0;
    if (missing > 0) {
      this.#begun = Buffer.concat([this.#begun, bytes.subarray(0, missing)]);
      if (this.#begun.length < HEADER_BYTES) return bytes.length;
      this.#need = this.#begun.readInt32BE(1) - 4;
      this.#begun = NOTHING;
    }
    const upTo = Math.min(bytes.length, missing + this.#need);
    this.#need -= upTo - missing;
    return upTo;
  }
}
