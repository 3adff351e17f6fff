/** Are there too few files that may be open (`ulimit -n`)? Not everybody says so who meets that. */
import { closeSync, openSync } from 'node:fs';
import { devNull } from 'node:os';

const IN_THE_WAY: readonly unknown[] = ['EMFILE', 'ENFILE'];
/** Node's resolver takes a package.json that it cannot open for one that is not there. */
const NOT_FOUND: readonly unknown[] = ['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'];
/** More than that are open at a time while a program is loaded. */
const WHILE_LOADING = 64;

export const wantsOpenFiles = (code: unknown): boolean =>
  IN_THE_WAY.includes(code) || (NOT_FOUND.includes(code) && !canOpen(WHILE_LOADING));

function canOpen(count: number): boolean {
  const opened: number[] = [];
  try {
    while (opened.length < count) opened.push(openSync(devNull, 'r'));
    return true;
  } catch {
    return false;
  } finally {
    opened.forEach((file) => closeSync(file));
  }
}
