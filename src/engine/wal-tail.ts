/**
 * How much WAL a server that has stopped wrote: read from its files, because nobody answers for it any more.
 *
 * A page carries its own position (xlp_pageaddr, access/xlog_internal.h), by which one that was written is told from what a
 * recycled segment still holds of its former life; and it is zeroed before it is filled. So the last byte that is not zero, on
 * pages that are in their place, is the end. After the end of a record another one adds bytes that are not zero: its length.
 */
const PAGE_BYTES = 8192;
/** Of XLogPageHeaderData. */
const PAGE_ADDRESS = 8;
/** Of XLogLongPageHeaderData, on the first page of a segment. */
const SEGMENT_BYTES = 32;

/** Timeline and number: of these the last one by name is the last one written, or was made ahead of time. */
export const isSegment = (name: string): boolean => /^[0-9A-F]{24}$/.test(name);

/** `position`: `0/3000148`. `end`: of a segment (`endOfSegment`). Bytes; 0: nothing comes after it. */
export const bytesBetween = (position: string, end: bigint): number =>
  Math.max(0, Number(end - lsnOf(position)));

/** The position behind the last byte of a segment, a file of pg_wal; null: nothing of it was written yet. */
export function endOfSegment(name: string, bytes: Buffer): bigint | null {
  const segmentBytes = bytes.readUInt32LE(SEGMENT_BYTES);
  // Made ahead of time, and never used.
  if (segmentBytes === 0) return null;
  const start = startOf(name, BigInt(segmentBytes));
  let end: bigint | null = null;
  for (let at = 0; at + PAGE_BYTES <= bytes.length; at += PAGE_BYTES) {
    if (bytes.readBigUInt64LE(at + PAGE_ADDRESS) !== start + BigInt(at)) break;
    end = start + BigInt(at + lengthOf(bytes.subarray(at, at + PAGE_BYTES)));
  }
  return end;
}

/** Up to the last byte that is not zero. */
function lengthOf(page: Buffer): number {
  let length = page.length;
  while (length > 0 && page[length - 1] === 0) length--;
  return length;
}

/** A name is timeline, and the segment's number in two parts (XLogFileName). */
function startOf(name: string, segmentBytes: bigint): bigint {
  const [high, low] = [BigInt(`0x${name.slice(8, 16)}`), BigInt(`0x${name.slice(16)}`)];
  return (high << 32n) + low * segmentBytes;
}

function lsnOf(position: string): bigint {
  const [high = '0', low = '0'] = position.split('/');
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}
