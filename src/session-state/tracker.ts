/**
 * What only the proxy can know of a session because no catalog shows it (session-state.md, "The proxy tracks only"): the last
 * unnamed Parse, dotted names that may be custom settings, whether LOAD or SET ran, the values of ParameterStatus. Called for
 * every message of the data path, so it allocates only when it sees something new.
 */
import { isUtf8 } from 'node:buffer';
import type { ClientObserver, EngineObserver } from '../protocol/index.js';
import { Frontend } from '../protocol/index.js';
import type { CommitWitness } from './commit-witness.js';
import { LoadStatements, seeText, type LoadsImage } from './seen-texts.js';
import { findSet, type SettingNames } from './setting-names.js';

/** An unnamed statement longer than this is not kept; the session then cannot move until it is replaced (bytes). */
export const MAX_UNNAMED_STATEMENT_BYTES = 4 * 1024 * 1024;
const SMALL_BYTES = 16 * 1024;

/** What was seen, as plain data: for the process that goes on in this one's place. */
export interface TrackerImage {
  readonly parameters: readonly (readonly [string, string])[];
  readonly loads: LoadsImage;
  readonly seeded: boolean;
  readonly setvalSeen: boolean;
  readonly settingsTouched: boolean;
  readonly unnamedTooLong: boolean;
  readonly bindWanted: boolean;
  readonly unnamedStatement: Buffer | null;
}

const tag = (text: string): number[] => [...Buffer.from(`${text}\0`)];
const SET = tag('SET');
const RESET = tag('RESET');
const LOAD = tag('LOAD');
const DISCARD = tag('DISCARD ALL');

const equals = (buffer: Buffer, start: number, end: number, expected: readonly number[]): boolean => {
  if (end - start !== expected.length) return false;
  for (let i = 0; i < expected.length; i++) if (buffer[start + i] !== expected[i]) return false;
  return true;
};

export class SessionTracker implements ClientObserver, EngineObserver {
  /** Last values of ParameterStatus that the client was sent. */
  readonly parameters = new Map<string, string>();
  readonly loads = new LoadStatements();
  /** setseed() passed by: where the random generator stands is part of the session, and cannot be read. */
  seeded = false;
  /** setval() passed by: currval() may be defined where lastval() is not. */
  setvalSeen = false;
  /** SET, RESET or DISCARD ALL ran since the settings were last read. */
  settingsTouched = false;
  /** The last unnamed Parse was too long to keep. */
  unnamedTooLong = false;
  /** A statement with set_config was prepared: the name of a setting may come as a parameter. */
  namesInValues = false;
  /** Which requests may commit; null: nobody wants to know. */
  commits: CommitWitness | null = null;
  readonly #names: SettingNames;
  readonly #saw = {
    load: (sql: string | null): void => {
      if (sql === null) this.loads.miss();
      else this.loads.collect(sql, this.#request);
    },
    setseed: (): void => {
      this.seeded = true;
    },
    setval: (): void => {
      this.setvalSeen = true;
    },
  };
  /** The query whose text is looked through; null: it is a Parse's. */
  #request: number | null = null;
  #unnamed: Buffer | null = null;
  #unnamedBytes = 0;

  constructor(names: SettingNames) {
    this.#names = names;
  }

  /** The client's, as far as it is known. */
  get #encoding(): string | undefined {
    return this.parameters.get('client_encoding');
  }

  /** The last unnamed Parse message, whole; null if there is none. A copy. */
  get unnamedStatement(): Buffer | null {
    return this.#unnamed && this.#unnamedBytes > 0
      ? Buffer.from(this.#unnamed.subarray(0, this.#unnamedBytes))
      : null;
  }

  get bindWanted(): boolean {
    return this.namesInValues || this.commits !== null;
  }

  save(): TrackerImage {
    const { seeded, setvalSeen, settingsTouched, unnamedTooLong, unnamedStatement } = this;
    return {
      ...{ seeded, setvalSeen, settingsTouched, unnamedTooLong, unnamedStatement },
      bindWanted: this.namesInValues,
      parameters: [...this.parameters],
      loads: this.loads.save(),
    };
  }

  restore(image: TrackerImage): void {
    const { parameters, loads, unnamedStatement, bindWanted, ...flags } = image;
    Object.assign(this, flags);
    this.namesInValues = bindWanted;
    for (const [name, value] of parameters) this.parameters.set(name, value);
    this.loads.restore(loads);
    this.#unnamed = unnamedStatement;
    this.#unnamedBytes = unnamedStatement?.length ?? 0;
  }

  parse(buffer: Buffer, start: number, end: number): void {
    this.#names.collect(buffer, start + 5, end, this.#encoding);
    const text = buffer.indexOf(0, start + 5) + 1;
    this.#request = null;
    seeText(buffer, text, Math.min(end, buffer.indexOf(0, text)), this.#saw);
    if (!this.namesInValues) this.namesInValues = findSet(buffer, start + 5, end) === 'set_config';
    this.commits?.parse(buffer, start, end);
    if (buffer[start + 5] !== 0 || !this.#isUnderstood(buffer, start, end)) return;
    const bytes = end - start;
    this.unnamedTooLong = bytes > MAX_UNNAMED_STATEMENT_BYTES;
    if (this.unnamedTooLong) {
      this.#forgetUnnamed();
      return;
    }
    if (!this.#unnamed || this.#unnamed.length < bytes)
      this.#unnamed = Buffer.allocUnsafeSlow(Math.max(256, bytes));
    buffer.copy(this.#unnamed, 0, start, end);
    this.#unnamedBytes = bytes;
  }

  /** A simple Query destroys the unnamed statement (manual 54.2.2). */
  query(buffer: Buffer, start: number, end: number, request: number): void {
    if ((this.#unnamedBytes > 0 || this.unnamedTooLong) && this.#isUnderstood(buffer, start, end)) {
      this.#forgetUnnamed();
      this.unnamedTooLong = false;
    }
    this.#names.collect(buffer, start + 5, end, this.#encoding);
    // PREPARE, too, can keep a set_config for an EXECUTE, or a Bind, that has nothing but the name.
    if (this.namesInValues) this.#names.collectValues(buffer, start + 5, end, this.#encoding);
    else this.namesInValues = findSet(buffer, start + 5, end) === 'set_config';
    this.commits?.query(buffer, start, end, request);
    this.#request = request;
    seeText(buffer, start + 5, end - 1, this.#saw);
  }

  bind(buffer: Buffer, start: number, end: number, request: number): void {
    if (this.namesInValues) this.#names.collectValues(buffer, start + 5, end, this.#encoding);
    this.commits?.bind(buffer, start, request);
  }

  close(buffer: Buffer, start: number): void {
    const unnamed = buffer[start + 5] === 0x53 /* S */ && buffer[start + 6] === 0;
    if (unnamed) this.#forgetUnnamed();
  }

  tooLong(type: number): void {
    this.commits?.tooLong();
    // A Bind or a Close of that length leaves the unnamed statement as it is.
    if (type !== Frontend.Parse && type !== Frontend.Query) return;
    this.#forgetUnnamed();
    this.unnamedTooLong = type === Frontend.Parse;
    if (type === Frontend.Query) this.loads.miss();
  }

  commandComplete(buffer: Buffer, start: number, end: number, request: number): void {
    switch (buffer[start]) {
      case 0x53 /* S */:
        if (equals(buffer, start, end, SET)) this.settingsTouched = true;
        break;
      case 0x52 /* R */:
        if (equals(buffer, start, end, RESET)) this.settingsTouched = true;
        break;
      case 0x44 /* D */:
        if (equals(buffer, start, end, DISCARD)) this.settingsTouched = true;
        break;
      case 0x4c /* L */:
        if (equals(buffer, start, end, LOAD)) this.loads.complete(request);
        break;
      default:
    }
  }

  parameterStatus(buffer: Buffer, start: number, end: number): void {
    const [name = '', value = ''] = buffer.toString('latin1', start, end).split('\0');
    this.parameters.set(name, value);
  }

  /** A message that is no text in the client's encoding fails before anything is done (pqformat.c). Databases are in UTF8. */
  #isUnderstood(buffer: Buffer, start: number, end: number): boolean {
    const encoding = this.#encoding;
    return (encoding !== 'UTF8' && encoding !== 'SQL_ASCII') || isUtf8(buffer.subarray(start + 5, end));
  }

  #forgetUnnamed(): void {
    this.#unnamedBytes = 0;
    if (this.#unnamed && this.#unnamed.length > SMALL_BYTES) this.#unnamed = null;
  }
}
