/** A position, as `select dbproxy.position()` gives it: what is applied in an engine. A client takes it from one writer to another. */
import { lsn, type Vector, WRITER_SLOTS } from '../protocol/index.js';

/** A JSON object, writer → LSN; undefined: it is none. */
export const readPosition = (text: string): Vector | undefined => {
  const parsed = parse(text);
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined;
  const entries = Object.entries(parsed as Record<string, unknown>);
  const isPosition = entries.every(
    ([writer, at]) => /^\d{1,2}$/.test(writer) && Number(writer) < WRITER_SLOTS && Number.isSafeInteger(at),
  );
  return isPosition
    ? Object.fromEntries(entries.map(([writer, at]) => [writer, lsn(Number(at))]))
    : undefined;
};

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};
