/**
 * What a backend says when it finds its postmaster dead while it waits for its client (be-secure.c, secure_read): FATAL 57P01
 * "terminating connection due to unexpected postmaster exit". Told from other ends with that SQLSTATE by its source file. Text and
 * severity (field S) are in the language of the server's lc_messages; V, C and F are not.
 */
const FATAL = Buffer.from('\0VFATAL\0');
const ADMIN_SHUTDOWN = Buffer.from('C57P01\0');
const SOURCE = Buffer.from('Fbe-secure.c\0');
/** Type and length. */
const HEADER_BYTES = 5;
const ERROR_RESPONSE = 0x45;
const SEVERITY = 0x53;
/** A severity in any language is shorter. */
const LONGEST_SEVERITY_BYTES = 100;

/** Where it begins, when the `bytes` of this read end with it; null: they do not. */
export const beforeDeathNotice = (buffer: Buffer, bytes: number): number | null => {
  // It is the last thing that is said: it ends with the end of its last field, and with that of the message.
  if (buffer[bytes - 1] !== 0 || buffer[bytes - 2] !== 0) return null;
  const said = buffer.subarray(0, bytes);
  const start = startOf(said, said.lastIndexOf(FATAL));
  if (start === null) return null;
  const message = said.subarray(start);
  return message.includes(ADMIN_SHUTDOWN) && message.includes(SOURCE) ? start : null;
};

/** Of the ErrorResponse that ends where `said` does, whose first field, the severity, ends at `severityEnd`. */
const startOf = (said: Buffer, severityEnd: number): number | null => {
  const first = Math.max(0, severityEnd - LONGEST_SEVERITY_BYTES);
  for (let start = severityEnd - HEADER_BYTES - 1; start >= first; start--)
    if (
      said[start] === ERROR_RESPONSE &&
      said[start + HEADER_BYTES] === SEVERITY &&
      said.readInt32BE(start + 1) === said.length - start - 1
    )
      return start;
  return null;
};
