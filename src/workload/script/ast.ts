/**
 * A workload script as it was written, in pgbench's syntax (PostgreSQL manual, pgbench, "Custom Scripts"):
 *
 *   text ── parse.ts ──▶ ScriptAst (here) ── compile.ts ──▶ Script, which a client runs
 *
 * Every node keeps its line: whatever is wrong with it is said as `file:line`.
 */
export interface ScriptAst {
  /** For error messages: the path as the user gave it. */
  readonly file: string;
  /** The comment that the file begins with, without its dashes; '' when there is none. */
  readonly summary: string;
  readonly commands: readonly Command[];
}

export type Command = SetCommand | SleepCommand | SqlCommand;

/** `\set NAME EXPRESSION` */
export interface SetCommand {
  readonly kind: 'set';
  readonly name: string;
  readonly expression: Expression;
  readonly line: number;
}

/** `\sleep NUMBER|:NAME [us|ms|s]` */
export interface SleepCommand {
  readonly kind: 'sleep';
  readonly amount: Expression;
  readonly unitMs: number;
  readonly line: number;
}

/** One statement, up to and with its semicolon, cut where a variable stands. */
export interface SqlCommand {
  readonly kind: 'sql';
  readonly pieces: readonly Piece[];
  readonly line: number;
}

export type Piece = { readonly text: string } | { readonly variable: string; readonly line: number };

export type BinaryOperator = '+' | '-' | '*' | '/' | '%';

export type Expression =
  | { readonly kind: 'integer' | 'double'; readonly value: number }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'negate'; readonly operand: Expression }
  | {
      readonly kind: 'binary';
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] };
