/** Decoders of the messages we read ourselves (PostgreSQL manual, 54.7). Bodies are without type and length. */

/** Fields of an ErrorResponse or NoticeResponse, by their code letter: `C` SQLSTATE, `M` message … (manual 54.8). */
export const errorFields = (body: Buffer): ReadonlyMap<string, string> => {
  const found = new Map<string, string>();
  let at = 0;
  while (at < body.length && body[at] !== 0) {
    const end = body.indexOf(0, at + 1);
    if (end < 0) break;
    found.set(String.fromCharCode(body[at] ?? 0), body.toString('utf8', at + 1, end));
    at = end + 1;
  }
  return found;
};

/** The zero-terminated strings of a body, as byte strings (latin1). */
export const cstrings = (body: Buffer, from = 0): string[] => {
  const found: string[] = [];
  let at = from;
  for (let end = body.indexOf(0, at); end >= 0; end = body.indexOf(0, at)) {
    found.push(body.toString('latin1', at, end));
    at = end + 1;
  }
  return found;
};

/** Name, type OID and type modifier of each column of a RowDescription. */
export const rowDescription = (body: Buffer): { name: string; type: number; modifier: number }[] => {
  const columns = [];
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    const end = body.indexOf(0, at);
    const name = body.toString('latin1', at, end);
    // Table OID (4), attribute (2), type OID (4), size (2), modifier (4), format (2).
    columns.push({ name, type: body.readUInt32BE(end + 7), modifier: body.readInt32BE(end + 13) });
    at = end + 19;
  }
  return columns;
};

/** Columns of a DataRow in text format, as byte strings (latin1) or in the encoding they are known to have; null for SQL NULL. */
export const dataRow = (body: Buffer, encoding: 'latin1' | 'utf8' = 'latin1'): (string | null)[] => {
  const columns: (string | null)[] = [];
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    const length = body.readInt32BE(at);
    at += 4;
    columns.push(length < 0 ? null : body.toString(encoding, at, at + length));
    at += Math.max(length, 0);
  }
  return columns;
};

/** Of a FunctionCallResponse. */
export const functionResult = (body: Buffer, encoding: 'latin1' | 'utf8' = 'latin1'): string | null => {
  const length = body.readInt32BE(0);
  return length < 0 ? null : body.toString(encoding, 4, 4 + length);
};

/** Elements of a one-dimensional array in its text form (`{23,25}`, `{"a b",NULL}`); manual 8.15.6. */
export const arrayElements = (text: string): (string | null)[] => {
  const found: (string | null)[] = [];
  const pattern = /(?:"((?:[^"\\]|\\.)*)"|([^{},"]+))/gs;
  for (const [, quoted, bare] of text.slice(1, -1).matchAll(pattern)) {
    if (quoted !== undefined) found.push(quoted.replace(/\\(.)/gs, '$1'));
    else if (bare !== undefined) found.push(bare.toUpperCase() === 'NULL' ? null : bare);
  }
  return found;
};
