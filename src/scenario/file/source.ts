/** The YAML of a scenario, and where its parts stand. */
import { isMap, isPair, isScalar, LineCounter, parseDocument, type Document, type YAMLError } from 'yaml';
import type { Complaints, Path } from './complaints.js';

export class Source {
  readonly #lines = new LineCounter();
  readonly #document: Document;
  readonly #complaints: Complaints;
  readonly value: unknown;

  /** Throws DBP_SCENARIO_INVALID where there is nothing to go on with. */
  constructor(text: string, complaints: Complaints) {
    this.#complaints = complaints;
    this.#document = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      stringKeys: true,
    });
    this.#complainOfYaml();
    if (!isMap(this.#document.contents)) {
      complaints.add(1, [], 'not a scenario: it begins with version: 1');
      complaints.throwAny();
    }
    this.value = this.#unfolded();
  }

  /** Of what stands at the path. */
  complain(path: Path, reason: string, allowed?: readonly (string | number)[]): void {
    this.#complaints.add(this.lineOf(path), path, reason, allowed);
  }

  /** `key` is in the map at `path`, and should not be. */
  complainOfKey(path: Path, key: string, reason: string, allowed: readonly string[]): void {
    this.#complaints.add(this.lineOf([...path, key]), path, reason, allowed);
  }

  at(path: Path): unknown {
    return this.#document.getIn(path);
  }

  /** Of what stands at the path, or of the nearest thing around it. */
  lineOf(path: Path): number {
    for (let length = path.length; length > 0; length--) {
      const key = path[length - 1];
      const parent: unknown =
        this.#document.getIn(path.slice(0, length - 1), true) ?? this.#document.contents;
      const around = length === 1 ? this.#document.contents : parent;
      const pair = isMap(around)
        ? around.items.find((each) => isPair(each) && isScalar(each.key) && each.key.value === key)
        : undefined;
      const node: unknown = pair?.key ?? this.#document.getIn(path.slice(0, length), true);
      const offset = (node as { range?: [number, number, number] | null } | undefined)?.range?.[0];
      if (offset !== undefined) return this.#lines.linePos(offset).line;
    }
    return 1;
  }

  /** One a line: what comes after it there is mostly of its making. A file is read on where only its keys are wrong. */
  #complainOfYaml(): void {
    const errors = [...this.#document.errors, ...this.#document.warnings];
    const lines = new Set<number>();
    for (const error of errors) {
      const { line } = this.#lines.linePos(error.pos[0]);
      if (lines.has(line)) continue;
      lines.add(line);
      this.#complaints.add(line, [], inWords(error));
    }
    if (errors.some(({ code }) => code !== 'DUPLICATE_KEY')) this.#complaints.throwAny();
  }

  #unfolded(): unknown {
    try {
      return this.#document.toJS();
    } catch (cause) {
      // Aliases that unfold to more than anybody has written.
      this.#complaints.add(1, [], (cause as Error).message);
      this.#complaints.throwAny(cause);
      throw cause;
    }
  }
}

const inWords = ({ code, message }: YAMLError): string =>
  code === 'NON_STRING_KEY' ? 'a key is a word, no list or map' : `not YAML: ${message}`;
