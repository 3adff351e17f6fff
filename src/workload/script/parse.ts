/**
 * Reads a script: SQL statements that end with a semicolon, and commands that begin with a backslash and end with the line.
 * What pgbench has and this does not is refused by its name, not skipped.
 */
import type { Command, Piece, ScriptAst } from './ast.js';
import { scriptError, unknownName } from './error.js';
import { isVariable, parseExpression } from './expression.js';
import { tokenAt } from './sql-lexer.js';

const COMMANDS = ['set', 'sleep'];
const OTHERS_OF_PGBENCH = [
  ...['aset', 'elif', 'else', 'endif', 'endpipeline', 'gset', 'if', 'setshell', 'shell', 'startpipeline'],
  'syncpipeline',
];
const SLEEP_UNITS_MS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1_000 };
const VARIABLE = /:([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)/y;

/** Throws DBP_WORKLOAD_SCRIPT. */
export function parseScript(file: string, text: string): ScriptAst {
  return new Parser(file, text.replaceAll('\r\n', '\n')).parse();
}

class Parser {
  readonly #file: string;
  readonly #text: string;
  readonly #commands: Command[] = [];
  #at = 0;
  #line = 1;

  constructor(file: string, text: string) {
    this.#file = file;
    this.#text = text;
  }

  parse(): ScriptAst {
    while (this.#skipBlanks()) {
      if (this.#text[this.#at] === '\\') this.#backslash();
      else this.#statement();
    }
    if (this.#commands.length === 0) throw this.#error(this.#line, 'there is no command in it');
    return { file: this.#file, summary: summaryOf(this.#text), commands: this.#commands };
  }

  /** To the next command; false at the end of the file. */
  #skipBlanks(): boolean {
    while (this.#at < this.#text.length) {
      const token = tokenAt(this.#text, this.#at);
      if (token.kind === 'comment') this.#closed(token.open, 'comment');
      else if (!/[\s;]/.test(this.#text[this.#at] ?? '')) return true;
      this.#advance(token.end);
    }
    return false;
  }

  #statement(): void {
    const line = this.#line;
    const pieces: Piece[] = [];
    let text = '';
    let parentheses = 0;
    const cut = (): void => {
      if (text !== '') pieces.push({ text });
      text = '';
    };
    while (this.#at < this.#text.length) {
      const token = tokenAt(this.#text, this.#at);
      const from = this.#at;
      const lineHere = this.#line;
      if (token.kind === 'quoted') this.#closed(token.open, 'quote');
      if (token.kind === 'comment') this.#closed(token.open, 'comment');
      const character = this.#text[from] ?? '';
      if (token.kind === 'other') {
        // pgbench, too: a command in the next line ends a statement that has no semicolon.
        if (character === '\\') break;
        if (character === '(') parentheses++;
        if (character === ')') parentheses--;
        const variable = character === ':' ? this.#variableAt(from) : undefined;
        if (variable !== undefined) {
          cut();
          pieces.push({ variable, line: lineHere });
          this.#advance(from + 1 + variable.length);
          continue;
        }
      }
      text += this.#text.slice(from, token.end);
      this.#advance(token.end);
      if (character === ';' && token.kind === 'other' && parentheses <= 0) break;
    }
    text = text.trimEnd();
    cut();
    this.#commands.push({ kind: 'sql', pieces, line });
  }

  /** Not `::type`. */
  #variableAt(at: number): string | undefined {
    if (this.#text[at - 1] === ':') return undefined;
    VARIABLE.lastIndex = at;
    return VARIABLE.exec(this.#text)?.[1];
  }

  #backslash(): void {
    const line = this.#line;
    const end = /(?<!\\)\n|$/.exec(this.#text.slice(this.#at))?.index ?? 0;
    const text = this.#text.slice(this.#at, this.#at + end).replace(/\\\n/g, ' ');
    this.#advance(this.#at + end);
    const [, name = '', rest = ''] = /^\\(\S*)\s*([^]*)$/.exec(text.trimEnd()) ?? [];
    if (name === 'set') this.#set(rest, line);
    else if (name === 'sleep') this.#sleep(rest, line);
    else if (OTHERS_OF_PGBENCH.includes(name))
      throw this.#error(line, `\\${name} of pgbench is not supported here; there is \\set and \\sleep`);
    else
      throw this.#error(
        line,
        unknownName(
          'command',
          `\\${name}`,
          COMMANDS.map((each) => `\\${each}`),
        ),
      );
  }

  #set(rest: string, line: number): void {
    const [, name = '', expression = ''] = /^(\S+)\s*([^]*)$/.exec(rest) ?? [];
    if (!isVariable(name)) throw this.#error(line, `\\set wants the name of a variable, not "${name}"`);
    if (expression === '') throw this.#error(line, `\\set ${name} has no expression`);
    this.#commands.push({
      ...{ kind: 'set', name, line },
      expression: parseExpression(expression, (reason) => this.#error(line, reason)),
    });
  }

  #sleep(rest: string, line: number): void {
    const [, amount = '', unit = 's', more] =
      /^(\d+(?:\.\d+)?|:\w+)\s*([^\s\d]\S*)?(?:\s+(\S.*))?$/.exec(rest) ?? [];
    const unitMs = SLEEP_UNITS_MS[unit];
    if (amount === '' || more !== undefined)
      throw this.#error(line, `\\sleep wants a number or a variable, and us, ms or s, not "${rest}"`);
    if (unitMs === undefined) throw this.#error(line, unknownName('unit', unit, Object.keys(SLEEP_UNITS_MS)));
    this.#commands.push({
      ...{ kind: 'sleep', unitMs, line },
      amount: parseExpression(amount, (reason) => this.#error(line, reason)),
    });
  }

  #advance(to: number): void {
    for (let i = this.#at; i < to; i++) if (this.#text[i] === '\n') this.#line++;
    this.#at = to;
  }

  #closed(open: boolean, what: string): void {
    if (open) throw this.#error(this.#line, `this ${what} has no end`);
  }

  #error(line: number, reason: string): Error {
    return scriptError(this.#file, line, reason);
  }
}

/** The first paragraph of the comment at the top. */
function summaryOf(text: string): string {
  const lines = /^(?:--.*\n?)*/.exec(text.trimStart())?.[0] ?? '';
  const words = lines.split('\n').map((line) => line.replace(/^--\s?/, '').trim());
  const blank = words.indexOf('');
  return words.slice(0, blank === -1 ? words.length : blank).join(' ');
}
