/** Replaces ErrorResponses on their way to a client, for the few sessions and moments that need it. */
import { Backend, encode, errorFields, type ErrorFields } from '../protocol/index.js';

/** What the client reads instead of the engine's error with these fields (manual 54.8); null: the engine's own. */
export type ErrorRewrite = (fields: ReadonlyMap<string, string>) => ErrorFields | null;

/** `bytes` begins at a message boundary; a message that is cut off at the end stays as it is. */
export const rewriteErrors = (bytes: Buffer, rewrite: ErrorRewrite): Buffer => {
  const parts: Buffer[] = [];
  let at = 0;
  while (bytes.length - at >= 5) {
    const end = at + 1 + bytes.readInt32BE(at + 1);
    if (end > bytes.length) break;
    const error =
      bytes[at] === Backend.ErrorResponse ? rewrite(errorFields(bytes.subarray(at + 5, end))) : null;
    parts.push(error ? encode.errorResponse(error) : bytes.subarray(at, end));
    at = end;
  }
  parts.push(bytes.subarray(at));
  return Buffer.concat(parts);
};
