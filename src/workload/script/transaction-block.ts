/**
 * Follows BEGIN and COMMIT through the statements of a script, in the order in which they run: where a transaction ends
 * decides what a lost connection means for its outcome.
 */
import { scriptError } from './error.js';

/** Alone, a statement that only reads commits nothing. One that calls something may write. */
const ONLY_READS = /^(?:select|values|table|show|fetch|explain)\b(?![^]*\()/i;
const BEGINS = /^(?:begin\b(?!\s+atomic\b)|start\s+transaction\b)/i;
const COMMITS = /^(?:commit|end)\b/i;
const ROLLS_BACK = /^(?:rollback\b(?!\s+(?:(?:work|transaction)\s+)?to\b)|abort\b)/i;
/** After it, later statements may name what it made. */
const MAKES =
  /^(?:create|alter|drop|do|call|prepare|declare)\b|^set\s+(?:(?:local|session)\s+)?(?:search_path|role|schema)\b|\binto\s+(?:temp|temporary|unlogged)\b/i;
const COPY_IN = /^copy\b[^]*\bfrom\s+(?:stdin|program)\b/i;

export class BlockTracker {
  readonly #file: string;
  /** The line of the BEGIN that is open. */
  #openedAt: number | undefined;
  #made = false;
  hasBlocks = false;

  constructor(file: string) {
    this.#file = file;
  }

  take(sql: string, line: number): { commits: boolean; preparable: boolean } {
    const words = sql.replace(/^(?:\s|--.*\n|\/\*[^]*?\*\/)+/, '');
    if (COPY_IN.test(words))
      throw scriptError(
        this.#file,
        line,
        'COPY from the client is not supported in a script; there is the workload copy',
      );
    const preparable = !this.#made;
    if (MAKES.test(words)) this.#made = true;
    return { commits: this.#commits(words, line), preparable };
  }

  end(): void {
    if (this.#openedAt === undefined) return;
    throw scriptError(
      this.#file,
      this.#openedAt,
      'the transaction that begins here is not ended: END is missing',
    );
  }

  #commits(words: string, line: number): boolean {
    const wasOpen = this.#openedAt !== undefined;
    if (BEGINS.test(words)) {
      this.hasBlocks = true;
      this.#openedAt ??= line;
      return false;
    }
    if (COMMITS.test(words) || ROLLS_BACK.test(words)) {
      this.#openedAt = /\band\s+chain\b/i.test(words) && !/\bno\s+chain\b/i.test(words) ? line : undefined;
      return COMMITS.test(words);
    }
    return !wasOpen && !ONLY_READS.test(words);
  }
}
