/** What is wrong with a file, all of it: each complaint with its line, its path, and what is allowed there. */
import { DbproxyError } from '../../errors/index.js';

export type Path = readonly (string | number)[];

export interface Complaint {
  readonly line: number;
  /** As people count: `steps[2].scale.to`; empty for the file itself. */
  readonly path: string;
  readonly reason: string;
  /** Where it is a choice. */
  readonly allowed?: readonly (string | number)[];
}

/** What does not fit where it stands; who knows the place makes a complaint of it. */
export class Unfit extends Error {
  readonly allowed: readonly string[] | undefined;

  constructor(reason: string, allowed?: readonly string[]) {
    super(reason);
    this.allowed = allowed;
  }
}

export class Complaints {
  readonly #file: string;
  readonly #all: Complaint[] = [];

  constructor(file: string) {
    this.#file = file;
  }

  add(line: number, path: Path, reason: string, allowed: Complaint['allowed'] = []): void {
    this.#all.push({ line, path: pathText(path), reason, ...(allowed.length > 0 && { allowed }) });
  }

  /** Throws DBP_SCENARIO_INVALID. */
  throwAny(cause?: unknown): void {
    const complaints = this.#all.toSorted((a, b) => a.line - b.line);
    const [first, ...others] = complaints;
    if (!first) return;
    throw new DbproxyError(
      'DBP_SCENARIO_INVALID',
      {
        ...{ file: this.#file, line: first.line, reason: sentence(first) },
        ...(others.length > 0 && {
          others: others.map((each) => `\n${this.#file}:${each.line}: ${sentence(each)}`).join(''),
        }),
      },
      { cause, lists: { complaints } },
    );
  }
}

const sentence = ({ path, reason }: Complaint): string => (path === '' ? reason : `${path}: ${reason}`);

const pathText = (path: Path): string =>
  path.reduce<string>(
    (all, key) => (typeof key === 'number' ? `${all}[${key + 1}]` : all === '' ? key : `${all}.${key}`),
    '',
  );
