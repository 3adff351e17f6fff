/** Statements that ask what became of a transaction: before them the engine is told what the writers say (writer/outcomes.ts). */
import type { RefusedCommit, WriterService } from '../../multiwriter/writer/index.js';
import { literal } from '../../session-state/index.js';
import type { EngineSide } from './engine-side.js';
import type { OwnQueries } from './own-queries.js';
import type { WriterWaits } from './writer-waits.js';

const ASKS = /\bdbproxy"?\s*\.\s*"?txn_status\b/i;
/** Characters of a statement: who hides it behind more is told to name it. */
const LOOKED_AT = 8_192;

export const asksOutcome = (sql: string): boolean => ASKS.test(sql.slice(0, LOOKED_AT));

const setFacts = (json: string): string => `set dbproxy.txn_facts = ${literal(json)}`;

export interface OutcomeQuestionsOptions {
  readonly service: Pick<WriterService, 'transactionFacts'>;
  readonly engine: EngineSide;
  readonly queries: OwnQueries;
  readonly waits: WriterWaits;
}

export class OutcomeQuestions {
  readonly #service: OutcomeQuestionsOptions['service'];
  readonly #engine: EngineSide;
  readonly #queries: OwnQueries;
  readonly #waits: WriterWaits;

  constructor({ service, engine, queries, waits }: OutcomeQuestionsOptions) {
    this.#service = service;
    this.#engine = engine;
    this.#queries = queries;
    this.#waits = waits;
  }

  /** Before such a statement. Not null: its client has canceled it. */
  async tellFacts(): Promise<RefusedCommit | null> {
    if ((await this.#engine.settle()) !== 'ok' || this.#engine.status === 'E') return null;
    const facts = await this.#waits.cancelable((signal) => this.#service.transactionFacts(signal));
    if (typeof facts !== 'string') return facts;
    await this.#queries.ask(setFacts(facts));
    return null;
  }
}
