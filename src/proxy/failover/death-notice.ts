/**
 * What a backend says when it finds its postmaster dead while it waits for its client (be-secure.c, secure_read): FATAL 57P01
 * "terminating connection due to unexpected postmaster exit". Told from other ends with that SQLSTATE by its source file.
 */
const FATAL = Buffer.from('SFATAL\0');
const ADMIN_SHUTDOWN = Buffer.from('C57P01\0');
const SOURCE = Buffer.from('Fbe-secure.c\0');
/** Type and length. */
const HEADER_BYTES = 5;
const ERROR_RESPONSE = 0x45;

/** Where it begins, when the `bytes` of this read end with it; null: they do not. */
export const beforeDeathNotice = (buffer: Buffer, bytes: number): number | null => {
  // It is the last thing that is said: it ends with the end of its last field, and with that of the message.
  if (buffer[bytes - 1] !== 0 || buffer[bytes - 2] !== 0) return null;
  const said = buffer.subarray(0, bytes);
  const start = said.lastIndexOf(FATAL) - HEADER_BYTES;
  if (start < 0 || said[start] !== ERROR_RESPONSE) return null;
  const message = said.subarray(start);
  return message.includes(ADMIN_SHUTDOWN) && message.includes(SOURCE) ? start : null;
};
