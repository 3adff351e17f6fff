/**
 * Our queries between the client's, and calls. Queries are simple ones, which destroy the unnamed prepared statement: it is parsed again
 * when the client uses it.
 */
import type { Request } from '../../multiwriter/engine/index.js';
import { Frontend } from '../../protocol/index.js';
import type { EngineSide } from './engine-side.js';
import type { OwnReply } from './requests.js';

/** The client's unnamed statement, between two batches. */
export interface UnnamedImage {
  readonly parse: Buffer | null;
  readonly isLost: boolean;
}

export class OwnQueries {
  readonly #engine: EngineSide;
  /** The client's Parse of the unnamed statement, as the engine has carried it out. */
  #unnamed: Buffer | null = null;
  #unnamedLost = false;
  /** Another Parse of it is on its way. */
  #unnamedComes = false;

  constructor(engine: EngineSide) {
    this.#engine = engine;
  }

  ask(sql: string, failed?: (error: Buffer) => void): Promise<OwnReply> {
    return this.askAll([sql], failed);
  }

  /** Sent together; the answer is that of all of them, and its error the first one. */
  askAll(requests: readonly Request[], failed?: (error: Buffer) => void): Promise<OwnReply> {
    this.#unnamedLost ||= requests.some((one) => typeof one === 'string');
    return this.#engine.ask(requests, failed);
  }

  save(): UnnamedImage {
    return { parse: this.#unnamed, isLost: this.#unnamedLost };
  }

  restore({ parse, isLost }: UnnamedImage): void {
    this.#unnamed = parse && Buffer.from(parse);
    this.#unnamedLost = isLost;
  }

  /** A Parse of it goes to the engine. */
  unnamedSent(): void {
    this.#unnamedComes = true;
  }

  /** The engine has carried it out. */
  unnamedParsed(message: Buffer): void {
    this.#unnamed = message;
    this.#unnamedLost = false;
    this.#unnamedComes = false;
  }

  /** What was sent and is not carried out never will be. */
  batchEnded(): void {
    this.#unnamedComes = false;
  }

  /** A query of the client's destroys it, or Close. */
  unnamedForgotten(): void {
    this.#unnamed = null;
  }

  /** Before a message of the client's that may use it. */
  restoreUnnamed(message: Buffer): void {
    if (!this.#unnamedLost || this.#unnamedComes || !this.#unnamed || !usesUnnamed(message)) return;
    this.#unnamedLost = false;
    this.#engine.parseAgain(this.#unnamed);
  }
}

/** Bind of the unnamed statement, or Describe of it. */
const usesUnnamed = (message: Buffer): boolean => {
  if (message[0] === Frontend.Describe) return message[5] === 0x53 /* S */ && message[6] === 0;
  return message[0] === Frontend.Bind && message[message.indexOf(0, 5) + 1] === 0;
};
