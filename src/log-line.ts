/**
 * A line in the log of a process of ours, which is its standard error: a file. What cannot be written is lost; no client may lose its
 * connection because the disk of a log is full. Not by `process.stderr`: its error comes later, ends the process when nobody listens,
 * and the stream with it when somebody does.
 */
import { writeSync } from 'node:fs';

// For what Node itself says there (warnings).
process.stderr.on('error', () => undefined);

export function logLine(text: string): void {
  try {
    writeSync(2, `${text}\n`);
  } catch {
    // There is nowhere to say so.
  }
}
