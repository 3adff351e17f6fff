/**
 * Cuts a SQL text into its statements, by PostgreSQL's lexical rules (manual 4.1; parser/scan.l): quoted strings and
 * identifiers, escape strings, dollar quotes, nested comments, and SQL-standard function bodies (BEGIN ATOMIC … END).
 */

/** The statements of `sql` without their semicolons; empty ones are left out. */
export const splitStatements = (sql: string, standardConformingStrings = true): string[] => {
  const statements: string[] = [];
  let start = 0;
  let parens = 0;
  let atomic = 0;
  const close = (end: number): void => {
    const text = sql.slice(start, end).trim();
    if (stripLeadingComments(text) !== '') statements.push(text);
  };
  for (let at = 0; at < sql.length;) {
    const token = nextToken(sql, at, standardConformingStrings);
    if (token.kind === 'char') {
      const char = sql[at];
      if (char === '(' || char === '[') parens++;
      else if (char === ')' || char === ']') parens = Math.max(0, parens - 1);
      else if (char === ';' && parens === 0 && atomic === 0) {
        close(at);
        start = token.end;
      }
    } else if (token.kind === 'word') {
      const word = sql.slice(at, token.end).toLowerCase();
      if (word === 'atomic' && /\bbegin\s+$/i.test(sql.slice(start, at))) atomic = 1;
      else if (atomic > 0 && word === 'case') atomic++;
      else if (atomic > 0 && word === 'end') atomic--;
    }
    at = token.end;
  }
  close(sql.length);
  return statements;
};

const SPACE = /\s*/y;

/** `text` from its first token on. */
export const stripLeadingComments = (text: string): string => {
  let at = 0;
  for (;;) {
    SPACE.lastIndex = at;
    SPACE.test(text);
    at = SPACE.lastIndex;
    if (text.startsWith('--', at) || text.startsWith('/*', at)) at = commentEnd(text, at);
    else return text.slice(at);
  }
};

interface Token {
  readonly kind: 'word' | 'quoted' | 'comment' | 'char';
  readonly end: number;
}

const nextToken = (sql: string, at: number, standardConformingStrings: boolean): Token => {
  const char = sql[at] ?? '';
  if (sql.startsWith('--', at) || sql.startsWith('/*', at))
    return { kind: 'comment', end: commentEnd(sql, at) };
  if (char === "'") return { kind: 'quoted', end: quoteEnd(sql, at, "'", !standardConformingStrings) };
  if (char === '"') return { kind: 'quoted', end: quoteEnd(sql, at, '"', false) };
  if (char === '$') {
    const delimiter = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
    delimiter.lastIndex = at;
    const found = delimiter.exec(sql);
    if (found) {
      const end = sql.indexOf(found[0], delimiter.lastIndex);
      return { kind: 'quoted', end: end < 0 ? sql.length : end + found[0].length };
    }
  }
  const word = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|\d[\w.]*/y;
  word.lastIndex = at;
  const found = word.exec(sql);
  if (found) {
    if (/^e$/i.test(found[0]) && sql[word.lastIndex] === "'") {
      return { kind: 'quoted', end: quoteEnd(sql, word.lastIndex, "'", true) };
    }
    return { kind: 'word', end: word.lastIndex };
  }
  return { kind: 'char', end: at + 1 };
};

const commentEnd = (sql: string, at: number): number => {
  if (sql.startsWith('--', at)) {
    const newline = /[\n\r]/g;
    newline.lastIndex = at;
    return newline.exec(sql)?.index ?? sql.length;
  }
  let depth = 0;
  const mark = /\/\*|\*\//g;
  mark.lastIndex = at;
  for (let found = mark.exec(sql); found; found = mark.exec(sql)) {
    depth += found[0] === '/*' ? 1 : -1;
    if (depth === 0) return mark.lastIndex;
  }
  return sql.length;
};

const quoteEnd = (sql: string, at: number, quote: string, backslash: boolean): number => {
  for (let i = at + 1; i < sql.length; i++) {
    if (backslash && sql[i] === '\\') i++;
    else if (sql[i] === quote) {
      if (sql[i + 1] !== quote) return i + 1;
      i++;
    }
  }
  return sql.length;
};
