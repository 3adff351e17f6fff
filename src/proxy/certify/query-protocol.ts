/** What the simple and the extended query protocol are made of. */
import { encode } from '../../protocol/index.js';
import type { Block } from './block.js';
import type { Certification } from './certification.js';
import type { ClientBatch } from './client-batch.js';
import type { EngineSide } from './engine-side.js';
import type { CertifierHost } from './host.js';
import type { OutcomeQuestions } from './outcome-questions.js';
import type { OwnQueries } from './own-queries.js';
import type { Snapshots } from './snapshots.js';
import type { StatementReader } from './statement-reader.js';

export interface QueryProtocolOptions {
  readonly engine: EngineSide;
  readonly queries: OwnQueries;
  readonly block: Block;
  readonly snapshots: Snapshots;
  readonly certification: Certification;
  readonly outcomes: OutcomeQuestions;
  readonly reader: StatementReader;
  readonly batch: ClientBatch;
  readonly host: Pick<CertifierHost, 'toClient'>;
}

export abstract class QueryProtocol {
  protected readonly engine: EngineSide;
  protected readonly queries: OwnQueries;
  protected readonly block: Block;
  protected readonly snapshots: Snapshots;
  protected readonly certification: Certification;
  protected readonly outcomes: OutcomeQuestions;
  protected readonly reader: StatementReader;
  protected readonly batch: ClientBatch;
  protected readonly host: QueryProtocolOptions['host'];

  constructor(options: QueryProtocolOptions) {
    this.engine = options.engine;
    this.queries = options.queries;
    this.block = options.block;
    this.snapshots = options.snapshots;
    this.certification = options.certification;
    this.outcomes = options.outcomes;
    this.reader = options.reader;
    this.batch = options.batch;
    this.host = options.host;
  }

  protected sendReady(): void {
    this.host.toClient(encode.readyForQuery(this.block.statusForClient));
  }
}
