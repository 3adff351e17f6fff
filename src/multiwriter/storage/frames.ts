/**
 * Frames of a node's log file, and what damage means.
 *
 *   frame = length (4 bytes) · CRC of the length (4) · CRC of the payload (4) · payload (JSON)
 *
 * A crash while a batch is being written leaves a part of it: a frame that ends too early, or zeros that were never filled. That
 * was never synced, so nobody was told of it: it is cut off. Everything else that does not check is damage to what was on
 * disk, votes among it: the node must not go on as if it had never cast them. The length has a checksum of its own, so that a
 * flipped bit in it does not look like a frame that ends too early.
 */
import { crc32 } from 'node:zlib';

const HEADER_BYTES = 12;
export const frame = (payload: Buffer): Buffer => {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  bytes.writeUInt32LE(payload.length, 0);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 4)), 4);
  bytes.writeUInt32LE(crc32(payload), 8);
  payload.copy(bytes, HEADER_BYTES);
  return bytes;
};

export type Ending =
  | { readonly kind: 'whole' }
  /** A crash cut the last batch. */
  | { readonly kind: 'torn' }
  | { readonly kind: 'damaged'; readonly why: string };

/** The payloads that check, in order; where the last of them ends; and why there is no next. */
export const readFrames = (
  file: Buffer,
  from: number,
): { payloads: Buffer[]; end: number; ending: Ending } => {
  const payloads: Buffer[] = [];
  let end = from;
  for (;;) {
    const read = readFrame(file, end);
    if (read.kind !== 'payload') return { payloads, end, ending: read };
    payloads.push(read.payload);
    end += HEADER_BYTES + read.payload.length;
  }
};

const readFrame = (file: Buffer, at: number): Ending | { kind: 'payload'; payload: Buffer } => {
  if (at === file.length) return { kind: 'whole' };
  if (file.length - at < HEADER_BYTES || isZero(file.subarray(at))) return { kind: 'torn' };
  if (crc32(file.subarray(at, at + 4)) !== file.readUInt32LE(at + 4)) {
    return { kind: 'damaged', why: `the length at byte ${at} does not check` };
  }
  const length = file.readUInt32LE(at);
  const payload = file.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length);
  if (payload.length < length) return { kind: 'torn' };
  if (crc32(payload) === file.readUInt32LE(at + 8)) return { kind: 'payload', payload };
  return isUnfilled(file, at + HEADER_BYTES, length)
    ? { kind: 'torn' }
    : { kind: 'damaged', why: `the record at byte ${at} does not check` };
};

/** Does it end, and the file with it, in a page or more that was never written? */
const PAGE_BYTES = 4_096;
const isUnfilled = (file: Buffer, start: number, length: number): boolean => {
  const lastPage = Math.max(start, Math.floor((start + length - 1) / PAGE_BYTES) * PAGE_BYTES);
  return isZero(file.subarray(lastPage));
};

const isZero = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0);
