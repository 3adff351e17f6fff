/**
 * Turns the tree of a script into what a client runs: variables become slots of an array, expressions closures, statements
 * texts with `$1`. Names, types and the ends of transactions are settled here, before a connection is opened.
 */
import type { Expression, Piece, ScriptAst, SqlCommand } from './ast.js';
import { scriptError, unknownName } from './error.js';
import { FUNCTIONS_OF_PGBENCH, functions, remainder, type NumberType } from './functions.js';
import type { Random } from '../random.js';
import { BlockTracker } from './transaction-block.js';

/** Set before the first command, as in pgbench; in this order they are the first slots. */
export const PREDEFINED = ['scale', 'client_id', 'random_seed', 'default_seed'] as const;

export type Evaluate = (values: readonly number[], random: Random) => number;

export interface Parameter {
  readonly slot: number;
  readonly type: NumberType;
}

export interface Statement {
  /** With `$1` … for the parameters. */
  readonly sql: string;
  /** The same, cut at the parameters: for the simple protocol. */
  readonly texts: readonly string[];
  readonly parameters: readonly Parameter[];
  /** True: while this one is in flight nobody knows whether something was committed. */
  readonly commits: boolean;
  /** False: an earlier statement of the script may make what this one needs, so that it cannot be prepared ahead. */
  readonly preparable: boolean;
  readonly line: number;
}

export type Step =
  | { readonly kind: 'set'; readonly slot: number; readonly evaluate: Evaluate; readonly line: number }
  | { readonly kind: 'sleep'; readonly evaluateMs: Evaluate; readonly line: number }
  | { readonly kind: 'sql'; readonly index: number };

export interface Script {
  readonly file: string;
  readonly summary: string;
  readonly steps: readonly Step[];
  readonly statements: readonly Statement[];
  /** Length of the array of values. */
  readonly slots: number;
  /** It opens transaction blocks: after an error there is something to roll back. */
  readonly hasBlocks: boolean;
  /** It names a table of pgbench's. */
  readonly onPgbenchTables: boolean;
  /** It may do more with one than read it. */
  readonly writesPgbenchTables: boolean;
}

/** pgbench's own limit is 256, the wire protocol's 65535. */
const MAX_PARAMETERS = 256;

/** Throws DBP_WORKLOAD_SCRIPT. */
export function compileScript(ast: ScriptAst): Script {
  const variables = new Map<string, Parameter>(
    PREDEFINED.map((name, slot) => [name, { slot, type: 'integer' }]),
  );
  const steps: Step[] = [];
  const statements: Statement[] = [];
  const block = new BlockTracker(ast.file);
  let slots = variables.size;
  for (const command of ast.commands) {
    const compiler = new ExpressionCompiler(ast.file, command.line, variables);
    switch (command.kind) {
      case 'set': {
        const { type, evaluate } = compiler.compile(command.expression);
        const slot = variables.get(command.name)?.slot ?? slots++;
        variables.set(command.name, { slot, type });
        steps.push({ kind: 'set', slot, evaluate, line: command.line });
        break;
      }
      case 'sleep': {
        const { evaluate } = compiler.compile(command.amount);
        const { unitMs, line } = command;
        steps.push({
          kind: 'sleep',
          evaluateMs: (values, random) => evaluate(values, random) * unitMs,
          line,
        });
        break;
      }
      case 'sql':
        steps.push({ kind: 'sql', index: statements.length });
        statements.push(compileStatement(ast.file, command, variables, block));
        break;
    }
  }
  block.end();
  if (statements.length === 0) throw scriptError(ast.file, 1, 'there is no SQL statement in it');
  const onPgbench = statements.filter(({ sql }) => /\bpgbench_\w+/i.test(sql));
  return {
    ...{ file: ast.file, summary: ast.summary, steps, statements, slots },
    hasBlocks: block.hasBlocks,
    onPgbenchTables: onPgbench.length > 0,
    writesPgbenchTables: onPgbench.some(({ sql }) => !/^\s*select\b/i.test(sql)),
  };
}

function compileStatement(
  file: string,
  { pieces, line }: SqlCommand,
  variables: ReadonlyMap<string, Parameter>,
  block: BlockTracker,
): Statement {
  const texts: string[] = [''];
  const parameters: Parameter[] = [];
  for (const piece of pieces) {
    if ('text' in piece) {
      texts[texts.length - 1] += piece.text;
      continue;
    }
    parameters.push(lookUp(file, piece, variables));
    // `- :x` with a negative value would begin a comment in the simple protocol.
    if (texts.at(-1)?.endsWith('-')) texts[texts.length - 1] += ' ';
    texts.push('');
  }
  if (parameters.length > MAX_PARAMETERS)
    throw scriptError(file, line, `a statement takes at most ${MAX_PARAMETERS} variables`);
  const sql = texts.map((text, i) => (i < parameters.length ? `${text}$${i + 1}` : text)).join('');
  return { sql, texts, parameters, line, ...block.take(sql, line) };
}

function lookUp(
  file: string,
  piece: Exclude<Piece, { text: string }>,
  variables: ReadonlyMap<string, Parameter>,
): Parameter {
  const found = variables.get(piece.variable);
  if (found) return found;
  throw scriptError(file, piece.line, unknownVariable(piece.variable, variables));
}

const unknownVariable = (name: string, variables: ReadonlyMap<string, Parameter>): string =>
  `${unknownName(
    'variable',
    `:${name}`,
    [...variables.keys()].map((each) => `:${each}`),
  )}; \\set comes before its use`;

interface Typed {
  readonly type: NumberType;
  readonly evaluate: Evaluate;
}

class ExpressionCompiler {
  readonly #file: string;
  readonly #line: number;
  readonly #variables: ReadonlyMap<string, Parameter>;

  constructor(file: string, line: number, variables: ReadonlyMap<string, Parameter>) {
    this.#file = file;
    this.#line = line;
    this.#variables = variables;
  }

  compile(node: Expression): Typed {
    switch (node.kind) {
      case 'integer':
      case 'double': {
        const { value } = node;
        return { type: node.kind, evaluate: () => value };
      }
      case 'variable': {
        const found = this.#variables.get(node.name);
        if (!found) throw this.#error(unknownVariable(node.name, this.#variables));
        const { slot, type } = found;
        return { type, evaluate: (values) => values[slot] as number };
      }
      case 'negate': {
        const { type, evaluate } = this.compile(node.operand);
        return { type, evaluate: (values, random) => -evaluate(values, random) };
      }
      case 'binary':
        return this.#binary(node);
      case 'call':
        return this.#call(node);
    }
  }

  #binary({ operator, left, right }: Expression & { kind: 'binary' }): Typed {
    const [l, r] = [this.compile(left), this.compile(right)];
    const type = l.type === 'integer' && r.type === 'integer' ? 'integer' : 'double';
    if (operator === '%' && type === 'double') throw this.#error('% wants two integers');
    const apply = OPERATIONS[operator === '/' && type === 'integer' ? 'div' : operator];
    const evaluate: Evaluate = (values, random) =>
      apply(l.evaluate(values, random), r.evaluate(values, random));
    return { type, evaluate: type === 'integer' ? exact(evaluate) : evaluate };
  }

  #call({ name, args }: Expression & { kind: 'call' }): Typed {
    const entry = Object.hasOwn(functions, name) ? functions[name] : undefined;
    if (!entry) {
      throw this.#error(
        FUNCTIONS_OF_PGBENCH.includes(name)
          ? `${name} of pgbench is not supported here`
          : unknownName('function', name, Object.keys(functions)),
      );
    }
    const [min, max] = entry.arity;
    if (args.length < min || args.length > max) {
      const wanted = min === max ? `${min}` : `at least ${min}`;
      throw this.#error(`${name} takes ${wanted} argument${wanted === '1' ? '' : 's'}, not ${args.length}`);
    }
    const compiled = args.map((arg) => this.compile(arg));
    if (entry.wantsIntegers && compiled.some(({ type }) => type === 'double'))
      throw this.#error(`${name} takes integers; int() makes one`);
    const anyDouble = compiled.some(({ type }) => type === 'double');
    const type = entry.type === 'same' ? (anyDouble ? 'double' : 'integer') : entry.type;
    const { apply } = entry;
    const evaluate: Evaluate = (values, random) =>
      apply(
        compiled.map((arg) => arg.evaluate(values, random)),
        random,
      );
    return { type, evaluate: type === 'integer' ? exact(evaluate) : evaluate };
  }

  #error(reason: string): Error {
    return scriptError(this.#file, this.#line, reason);
  }
}

const OPERATIONS = {
  '+': (a: number, b: number) => a + b,
  '-': (a: number, b: number) => a - b,
  '*': (a: number, b: number) => a * b,
  '/': (a: number, b: number) => a / b,
  '%': remainder,
  /** Truncates towards zero, as C and SQL do. */
  div: (a: number, b: number) => {
    if (b === 0) throw new RangeError('division by zero');
    return Math.trunc(a / b);
  },
};

/** An integer that is no longer exact would be a wrong value without a word. */
const exact =
  (evaluate: Evaluate): Evaluate =>
  (values, random) => {
    const value = evaluate(values, random);
    if (Number.isSafeInteger(value)) return value;
    throw new RangeError(`${value} is out of range: integers go up to 2^53 here`);
  };

/** As pgbench writes it: an integer plain, a double with 15 digits. */
export const textOf = ({ slot, type }: Parameter, values: readonly number[]): string => {
  const value = values[slot] as number;
  return type === 'integer' || !Number.isFinite(value)
    ? String(value)
    : String(Number(value.toPrecision(15)));
};
