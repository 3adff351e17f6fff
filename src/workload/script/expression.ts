/**
 * The expressions of `\set`: numbers, variables, + - * / %, parentheses, functions.
 * Precedence as in pgbench (its exprparse.y): unary minus binds closest, then * / %, then + -; all from left to right.
 */
import type { BinaryOperator, Expression } from './ast.js';

type Token =
  | { readonly kind: 'integer' | 'double' | 'variable' | 'name'; readonly text: string }
  | { readonly kind: 'symbol'; readonly text: string };

const TOKEN =
  /\s*(?:(?<double>\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)|(?<integer>\d+)|:(?<variable>[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)|(?<name>[A-Za-z_]\w*)|(?<symbol>[-+*/%(),]))/y;

export const isVariable = (text: string): boolean => /^[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*$/.test(text);

/** pgbench has more: comparisons, booleans, CASE. They are of use with \if, which is not supported either. */
const WORDS_OF_PGBENCH = ['and', 'or', 'not', 'case', 'true', 'false', 'null', 'is', 'isnull', 'notnull'];

/** `fail` makes the error for a reason. */
export function parseExpression(text: string, fail: (reason: string) => Error): Expression {
  const tokens = tokenize(text, fail);
  let at = 0;
  const peek = (): string | undefined => (tokens[at]?.kind === 'symbol' ? tokens[at]?.text : undefined);
  const expect = (symbol: string): void => {
    const next = tokens[at++];
    if (next?.text === symbol && next.kind === 'symbol') return;
    throw fail(`${symbol} is missing ${next ? `before ${describe(next)}` : 'at the end'}`);
  };

  const binary = (operators: readonly BinaryOperator[], operand: () => Expression) => (): Expression => {
    let left = operand();
    for (;;) {
      const operator = operators.find((each) => each === peek());
      if (operator === undefined) return left;
      at++;
      left = { kind: 'binary', operator, left, right: operand() };
    }
  };
  const unary = (): Expression => {
    if (peek() === '-') {
      at++;
      return { kind: 'negate', operand: unary() };
    }
    if (peek() === '+') {
      at++;
      return unary();
    }
    return primary();
  };
  const product = binary(['*', '/', '%'], unary);
  const sum = binary(['+', '-'], product);

  const primary = (): Expression => {
    const token = tokens[at++];
    if (token === undefined) throw fail('the expression ends too early');
    switch (token.kind) {
      case 'integer':
        return { kind: 'integer', value: integer(token.text, fail) };
      case 'double':
        return { kind: 'double', value: Number(token.text) };
      case 'variable':
        return { kind: 'variable', name: token.text };
      case 'name':
        return call(token.text);
      case 'symbol': {
        if (token.text !== '(') throw fail(`${token.text} stands where a value should`);
        const inner = sum();
        expect(')');
        return inner;
      }
    }
  };
  const call = (name: string): Expression => {
    if (peek() !== '(') {
      throw fail(
        WORDS_OF_PGBENCH.includes(name.toLowerCase())
          ? `${name} of pgbench is not supported here`
          : `${name} is neither a number nor a function; a variable begins with a colon, :${name}`,
      );
    }
    at++;
    const args: Expression[] = [];
    if (peek() !== ')') {
      args.push(sum());
      while (peek() === ',') {
        at++;
        args.push(sum());
      }
    }
    expect(')');
    return { kind: 'call', name: name.toLowerCase(), args };
  };

  const whole = sum();
  const extra = tokens[at];
  if (extra !== undefined) throw fail(`${describe(extra)} is not expected here`);
  return whole;
}

function tokenize(text: string, fail: (reason: string) => Error): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.trimEnd().length) {
    TOKEN.lastIndex = at;
    const groups = TOKEN.exec(text)?.groups;
    if (!groups)
      throw fail(`${text.slice(at).trim().slice(0, 12)} is no part of an expression that is supported here`);
    at = TOKEN.lastIndex;
    const [kind, value] = Object.entries(groups).find(([, value]) => value !== undefined) as [
      Token['kind'],
      string,
    ];
    tokens.push({ kind, text: value });
  }
  return tokens;
}

const describe = ({ kind, text }: Token): string => (kind === 'variable' ? `:${text}` : text);

/** Numbers here are exact up to 2^53; pgbench's go to 2^63. */
function integer(text: string, fail: (reason: string) => Error): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw fail(`${text} is too large: integers go up to 2^53 here`);
  return value;
}
