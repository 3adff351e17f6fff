/**
 * Names that may be custom settings (`app.user_id`), collected from the SQL that passes by: no catalog lists them. A superset
 * is harmless (reading an unknown name gives NULL), a missing name would lose state, so everything of the form `a.b` in a
 * text with SET or set_config counts. One collection serves all sessions of a proxy.
 *
 * The hot path only compares hashes: a name seen before costs no allocation.
 */

import { isUtf8 } from 'node:buffer';

/** Names kept at most. Beyond it the collection says so, and sessions report that custom settings may be lost. */
export const MAX_SETTING_NAMES = 4_096;
/** Longer runs are no setting's name (bytes). */
const MAX_NAME_BYTES = 128;
/** Distinct dotted runs remembered as "looked at". */
const MAX_SEEN = 65_536;

const DOT = 0x2e;
const QUOTE = 0x22;

/** a–z, A–Z, 0–9, _, $, whatever is not ASCII: what a setting's name is made of (guc.c), and the quotes it may be in. */
const IN_NAME: readonly boolean[] = Array.from({ length: 256 }, (_, code) =>
  /[\w$"\x80-\xff]/.test(String.fromCharCode(code)),
);
const NAME = /^[a-z_\x80-\uffff][\w$\x80-\uffff]*(\.[a-z_\x80-\uffff][\w$\x80-\uffff]*)+$/;

export class SettingNames {
  readonly #names = new Set<string>();
  readonly #seen = new Set<number>();
  overflowed = false;

  get all(): readonly string[] {
    return [...this.#names];
  }

  add(name: string): void {
    if (this.#names.size >= MAX_SETTING_NAMES) this.overflowed = true;
    else this.#names.add(name);
  }

  /** Looks through the SQL text `buffer[start, end)`. `encoding`: the client's, as far as it is known. */
  collect(buffer: Buffer, start: number, end: number, encoding = 'UTF8'): void {
    let sets: boolean | null = null;
    for (let dot = start; dot < end; dot++) {
      if (buffer[dot] !== DOT) continue;
      let from = dot;
      while (from > start && IN_NAME[buffer[from - 1] ?? 0]) from--;
      let to = dot + 1;
      while (to < end && (IN_NAME[buffer[to] ?? 0] || (buffer[to] === DOT && to > dot + 1))) to++;
      if (from < dot && to > dot + 1 && to - from <= MAX_NAME_BYTES) {
        // Only texts that can set something; a name first seen elsewhere is looked at again when it is set.
        sets ??= findSet(buffer, start, end) !== 'none';
        if (!sets) return;
        // Quoted names are mostly columns ("t"."c"): those count only where a SET can have its name.
        const quoted = buffer[from] === QUOTE || buffer[to - 1] === QUOTE;
        if (!quoted || followsSet(buffer, start, from)) this.#consider(buffer, from, to, encoding);
      }
      dot = to - 1;
    }
  }

  /** Looks through the parameters of a Bind for a statement that calls set_config. */
  collectValues(buffer: Buffer, start: number, end: number, encoding = 'UTF8'): void {
    for (let at = start; at < end; at++) {
      let to = at;
      while (to < end && (IN_NAME[buffer[to] ?? 0] || buffer[to] === DOT)) to++;
      if (to - at <= MAX_NAME_BYTES && buffer.subarray(at, to).includes(DOT))
        this.#consider(buffer, at, to, encoding);
      at = to;
    }
  }

  #consider(buffer: Buffer, from: number, to: number, encoding: string): void {
    let hash = 0x811c9dc5;
    for (let i = from; i < to; i++) hash = Math.imul(hash ^ (buffer[i] ?? 0), 0x01000193);
    if (this.#seen.has(hash)) return;
    if (this.#seen.size < MAX_SEEN) this.#seen.add(hash);
    for (const text of decoded(buffer.subarray(from, to), encoding)) {
      // As PostgreSQL does (guc.c), of ASCII only.
      const name = text.replaceAll('"', '').replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
      if (NAME.test(name)) this.add(name);
    }
  }
}

/** What the bytes may mean: an encoding that was set just now is not known yet, and one name too many does no harm. */
const decoded = (bytes: Buffer, encoding: string): Iterable<string> => {
  const latin1 = bytes.toString('latin1');
  if (!/[^\x00-\x7f]/.test(latin1)) return [latin1];
  const others = isUtf8(bytes) ? [bytes.toString()] : [];
  try {
    others.push(new TextDecoder(label(encoding)).decode(bytes));
  } catch {
    // None that is known here (MULE_INTERNAL, EUC_TW …).
  }
  return new Set([...others, latin1]);
};

/** PostgreSQL's name of an encoding as the web's: WIN1251 is windows-1251, ISO_8859_5 iso-8859-5, KOI8R koi8-r. */
const label = (encoding: string): string =>
  encoding
    .toLowerCase()
    .replace(/^win(?=\d{4})/, 'windows-')
    .replace(/^koi8/, 'koi8-')
    .replace('uhc', 'euc-kr')
    .replaceAll('_', '-');

/** Is the word before `from` SET, RESET, SESSION or LOCAL? By its last three letters: a superset is harmless. */
const followsSet = (buffer: Buffer, start: number, from: number): boolean => {
  let end = from;
  while (end > start && (buffer[end - 1] ?? 0) <= 0x20) end--;
  if (end === from || end - start < 3) return false;
  const word = buffer.toString('latin1', end - 3, end).toLowerCase();
  return word === 'set' || word === 'ion' || word === 'cal';
};

/** Does the text hold `set_config`, or else the letters `set`, in any case? Allocates nothing. */
export const findSet = (buffer: Buffer, start: number, end: number): 'none' | 'set' | 'set_config' => {
  let found: 'none' | 'set' = 'none';
  for (let at = start; at < end - 2; at++) {
    if (((buffer[at] ?? 0) | 0x20) !== 0x73 /* s */ || ((buffer[at + 1] ?? 0) | 0x20) !== 0x65 /* e */)
      continue;
    if (((buffer[at + 2] ?? 0) | 0x20) !== 0x74 /* t */) continue;
    found = 'set';
    if (buffer[at + 3] === 0x5f /* _ */ && ((buffer[at + 4] ?? 0) | 0x20) === 0x63 /* c */)
      return 'set_config';
  }
  return found;
};
