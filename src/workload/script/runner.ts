/** Runs a script on one connection: its steps one after the other, and what their answers mean for the transaction. */
import { DbproxyError } from '../../errors/index.js';
import type { LoadConnection } from '../connection.js';
import { classify } from '../taxonomy.js';
import { encoderFor, prepareMessage, type Encoder } from '../wire.js';
import type { Done, Runner, WorkContext } from '../work.js';
import { PREDEFINED, type Script, type Statement } from './compile.js';
import { scriptError } from './error.js';

export class ScriptRunner implements Runner {
  readonly #script: Script;
  readonly #connection: LoadConnection;
  readonly #context: WorkContext;
  readonly #encoders: readonly Encoder[];
  readonly #values: number[];
  #step = 0;
  #committed = false;
  #done: Done = () => {};

  private constructor(script: Script, prefix: string, connection: LoadConnection, context: WorkContext) {
    this.#script = script;
    this.#connection = connection;
    this.#context = context;
    this.#encoders = script.statements.map((statement, index) =>
      encoderFor(context.protocol, statement, `${prefix}${index}`),
    );
    const { scale, clientId, seed } = context;
    const predefined: Record<(typeof PREDEFINED)[number], number> = {
      ...{ scale, client_id: clientId, random_seed: seed, default_seed: seed },
    };
    this.#values = Array.from({ length: script.slots }, () => 0);
    PREDEFINED.forEach((name, slot) => (this.#values[slot] = predefined[name]));
  }

  /** Prepares what can be prepared. `prefix`: of the statements' names, unique on the connection. */
  static async open(
    script: Script,
    prefix: string,
    connection: LoadConnection,
    context: WorkContext,
  ): Promise<ScriptRunner> {
    if (context.protocol === 'prepared') {
      for (const [index, statement] of script.statements.entries()) {
        if (statement.preparable) await prepare(connection, script.file, statement, `${prefix}${index}`);
      }
    }
    return new ScriptRunner(script, prefix, connection, context);
  }

  get rollsBack(): boolean {
    return this.#script.hasBlocks;
  }

  run(done: Done): void {
    this.#done = done;
    this.#step = 0;
    this.#committed = false;
    this.#next();
  }

  #next(): void {
    try {
      this.#advance();
    } catch (error) {
      this.#context.giveUp(error);
    }
  }

  /** To the next statement. */
  #advance(): void {
    const { steps } = this.#script;
    for (; this.#step < steps.length; this.#step++) {
      const step = steps[this.#step];
      if (step?.kind === 'set') this.#values[step.slot] = this.#evaluate(step.evaluate, step.line);
      else if (step?.kind === 'sleep') return this.#sleep(this.#evaluate(step.evaluateMs, step.line));
      else if (step) {
        const encode = this.#encoders[step.index] as Encoder;
        return this.#connection.execute(encode(this.#values), this.#answered);
      }
    }
    this.#done();
  }

  readonly #answered = (error: Error | undefined, rolledBack: boolean): void => {
    const step = this.#script.steps[this.#step];
    const statement = step?.kind === 'sql' ? this.#script.statements[step.index] : undefined;
    const committing = statement?.commits === true;
    if (error) return this.#fail(classify(error, committing), statement);
    // END of an aborted transaction succeeds, and says what it did instead (manual, COMMIT).
    if (committing && rolledBack) {
      const severity = 'ERROR';
      return this.#fail(
        classify({ code: '40000', severity, message: 'COMMIT was a ROLLBACK' }, false),
        statement,
      );
    }
    if (committing) this.#committed = true;
    this.#step++;
    this.#next();
  };

  #fail(error: ReturnType<typeof classify>, statement: Statement | undefined): void {
    const where = statement ? `${this.#script.file}:${statement.line}: ` : '';
    // What it has committed already, another try would commit twice.
    const retryable = error.retryable && !this.#committed;
    this.#done({ ...error, retryable, message: `${where}${error.message}` });
  }

  #sleep(ms: number): void {
    const wake = (): void => {
      this.#step++;
      this.#next();
    };
    this.#connection.pause(Math.max(ms, 0), wake, (error) => this.#answered(error, false));
  }

  #evaluate(
    evaluate: (values: readonly number[], random: WorkContext['random']) => number,
    line: number,
  ): number {
    try {
      return evaluate(this.#values, this.#context.random);
    } catch (cause) {
      if (cause instanceof RangeError) throw scriptError(this.#script.file, line, cause.message, cause);
      throw cause;
    }
  }
}

async function prepare(
  connection: LoadConnection,
  file: string,
  statement: Statement,
  name: string,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    connection.execute(prepareMessage(statement, name), (error) => {
      if (!error) return resolve();
      const lost = classify(error, false).lost;
      const reason = `${file}:${statement.line}: ${error.message}`;
      reject(lost ? error : new DbproxyError('DBP_WORKLOAD_TARGET', { reason }, { cause: error }));
    });
  });
}
