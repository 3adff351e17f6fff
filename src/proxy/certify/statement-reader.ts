/**
 * How the statements of a session are read: once one has written that seemed to read, none is taken for a reader, until DISCARD ALL.
 */
import type { WriterService } from '../../multiwriter/writer/index.js';
import { PreparedStatements } from './prepared-statements.js';
import { droppedByRunning, statementsOf, type Statement } from './statements.js';

export class StatementReader {
  readonly prepared = new PreparedStatements();
  readonly #isVolatile: (name: string) => boolean;
  #isWary = false;

  constructor(service: Pick<WriterService, 'isVolatile'>) {
    this.#isVolatile = (name) => this.#isWary || service.isVolatile(name);
  }

  /** The statements of a simple query, or the one of a Parse. */
  read(sql: string): { text: string; statement: Statement }[] {
    return statementsOf(sql, this.#isVolatile);
  }

  /** It is certified. */
  isWriter({ kind }: Statement): boolean {
    return kind === 'write' || (this.#isWary && kind === 'read');
  }

  beWary(): void {
    this.#isWary = true;
  }

  /** It has run. */
  ran(statement: Statement): void {
    const dropped = droppedByRunning(statement);
    if (dropped) this.prepared.drop(dropped);
    if (dropped === 'session') this.#isWary = false;
  }
}
