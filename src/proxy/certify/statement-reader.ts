/**
 * How the statements of a session are read: once one has written that seemed to read, none is taken for a reader, until DISCARD ALL.
 */
import type { WriterService } from '../../multiwriter/writer/index.js';
import { PreparedStatements, type Prepared } from './prepared-statements.js';
import { droppedByRunning, statementsOf, type Part, type Statement } from './statements.js';

export interface ReaderImage {
  readonly prepared: ReadonlyMap<string, Prepared>;
  readonly isWary: boolean;
}

export class StatementReader {
  readonly prepared = new PreparedStatements();
  readonly #isVolatile: (name: string) => boolean;
  readonly #standardConformingStrings: () => boolean;
  #isWary = false;

  /** `standardConformingStrings`: what the session has at the moment. */
  constructor(service: Pick<WriterService, 'isVolatile'>, standardConformingStrings: () => boolean) {
    this.#standardConformingStrings = standardConformingStrings;
    this.#isVolatile = (name) => this.#isWary || service.isVolatile(name);
  }

  /** The statements of a simple query, or the one of a Parse. */
  read(sql: string): Part[] {
    return statementsOf(sql, this.#isVolatile, this.#standardConformingStrings());
  }

  /** It is certified. */
  isWriter({ kind }: Statement): boolean {
    return kind === 'write' || (this.#isWary && kind === 'read');
  }

  beWary(): void {
    this.#isWary = true;
  }

  save(): ReaderImage {
    return { prepared: this.prepared.save(), isWary: this.#isWary };
  }

  restore({ prepared, isWary }: ReaderImage): void {
    this.prepared.restore(prepared);
    this.#isWary = isWary;
  }

  /** It has run. */
  ran(statement: Statement): void {
    const dropped = droppedByRunning(statement);
    if (dropped) this.prepared.drop(dropped);
    if (dropped === 'session') this.#isWary = false;
  }
}
