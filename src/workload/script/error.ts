/** What is wrong with a script, and where. */
import { DbproxyError } from '../../errors/index.js';
import { nearest } from '../../suggest.js';

export const scriptError = (file: string, line: number, reason: string, cause?: unknown): DbproxyError =>
  new DbproxyError('DBP_WORKLOAD_SCRIPT', { file, line, reason }, { cause });

/** `"radnom" is not a function; did you mean random?` */
export function unknownName(what: string, name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  const hint = meant === undefined ? `there is ${known.join(', ')}` : `did you mean ${meant}?`;
  return `there is no ${what} ${name}; ${hint}`;
}
