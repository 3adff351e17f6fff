/**
 * Where SQL text can be cut: what is a comment, what is quoted, and what is neither (PostgreSQL manual, "Lexical
 * Structure"). Enough to find the end of a statement and the variables in it, as psql's scanner does for pgbench.
 */
export interface Token {
  readonly kind: 'comment' | 'quoted' | 'other';
  readonly end: number;
  /** The token has no end: an open quote or comment. */
  readonly open: boolean;
}

const NAME_CHARACTER = /[\w\u0080-\uffff]/;
const DOLLAR_TAG = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;

/** The token at `at`; what is neither comment nor quoted is one character long. */
export function tokenAt(text: string, at: number): Token {
  const two = text.slice(at, at + 2);
  if (two === '--') return until(text, '\n', at, 'comment', true);
  if (two === '/*') return blockComment(text, at);
  const character = text.charAt(at);
  if (character === '"') return quoted(text, at, '"', false);
  if (character === "'") return quoted(text, at, "'", hasBackslashes(text, at));
  if (character === '$' && !NAME_CHARACTER.test(text.charAt(at - 1))) {
    DOLLAR_TAG.lastIndex = at;
    const tag = DOLLAR_TAG.exec(text)?.[0];
    if (tag !== undefined) return until(text, tag, at + tag.length, 'quoted', false);
  }
  return { kind: 'other', end: at + 1, open: false };
}

/** `E'…'`: the letter belongs to the string only when it is not the end of a name. */
const hasBackslashes = (text: string, at: number): boolean =>
  /^[eE]$/.test(text.charAt(at - 1)) && !NAME_CHARACTER.test(text.charAt(at - 2));

function until(text: string, mark: string, from: number, kind: 'comment' | 'quoted', mayEnd: boolean): Token {
  const found = text.indexOf(mark, from);
  return found === -1
    ? { kind, end: text.length, open: !mayEnd }
    : { kind, end: found + mark.length, open: false };
}

/** A doubled quote ends one string and begins the next: the same to whoever looks for the end. */
function quoted(text: string, at: number, quote: string, backslashes: boolean): Token {
  for (let i = at + 1; i < text.length; i++) {
    if (backslashes && text[i] === '\\') i++;
    else if (text[i] === quote) return { kind: 'quoted', end: i + 1, open: false };
  }
  return { kind: 'quoted', end: text.length, open: true };
}

/** Block comments nest. */
function blockComment(text: string, at: number): Token {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const two = text.slice(i, i + 2);
    if (two === '/*') depth++;
    else if (two === '*/') depth--;
    else continue;
    i++;
    if (depth === 0) return { kind: 'comment', end: i + 1, open: false };
  }
  return { kind: 'comment', end: text.length, open: true };
}
