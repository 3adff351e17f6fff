/** Rows of our own queries: their texts are UTF8 (the session's encoding is set so before). */
export const dataRowUtf8 = (message: Buffer): (string | null)[] => {
  const columns: (string | null)[] = [];
  let at = 7;
  for (let left = message.readInt16BE(5); left > 0; left--) {
    const length = message.readInt32BE(at);
    at += 4;
    columns.push(length < 0 ? null : message.toString('utf8', at, at + length));
    at += Math.max(length, 0);
  }
  return columns;
};
