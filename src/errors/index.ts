/**
 * The whole error catalogue: every failure that a user can meet, in one place.
 *
 * An error is thrown as `new DbproxyError('DBP_…', { …details })`. The catalogue gives its message, the exit code of the
 * command (cli.md) and, where a client of the proxy sees it, the SQLSTATE (PostgreSQL manual, appendix A).
 * `docs/errors.md` is generated from here.
 */

/** Exit codes of every command, with and without --json. */
export const ExitCode = {
  done: 0,
  failed: 1,
  usage: 2,
  expectation: 3,
  environment: 4,
  timeout: 5,
  unknownCommand: 127,
  interrupted: 130,
  terminated: 143,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export interface CatalogueEntry {
  /** Message; `{name}` is replaced by the detail of that name, `[ {name}]` is left out where there is none. */
  readonly message: string;
  readonly exit: ExitCode;
  /** SQLSTATE, when a client of the proxy sees this error on the wire. */
  readonly sqlstate?: string;
  /** What to do next: commands to type, or sentences. `{name}` is replaced as in the message; `[ {name}]` is left out where there is none. */
  readonly suggestions: readonly string[];
}

import { catalogue } from './catalogue.js';
import { wantsOpenFiles } from './open-files.js';
export { catalogue };
export type ErrorCode = keyof typeof catalogue;
export type ErrorDetails = Readonly<Record<string, string | number | boolean | undefined>>;
/** For programs: they are among the details of the JSON form; the message has its own words for them. */
export type ErrorLists = Readonly<Record<string, readonly unknown[]>>;

/** JSON form of an error: `dbproxy.error/1` of the command line's contract, and what crosses the RPC sockets. */
export interface ErrorJson {
  readonly schema: 'dbproxy.error/1';
  readonly code: string;
  readonly message: string;
  readonly suggestions: readonly string[];
  /** And the lists. */
  readonly details?: ErrorDetails;
}

const fill = (template: string, details: ErrorDetails): string =>
  template.replace(/\{(\w+)\}/g, (_, name: string) => String(details[name] ?? `?${name}`));

const withoutUnknown = (template: string, details: ErrorDetails): string =>
  template.replace(/\[([^[\]]*\{(\w+)\})\]/g, (_, part: string, name: string) =>
    details[name] === undefined ? '' : part,
  );

/** The code as one of the catalogue; a code of another version becomes DBP_INTERNAL. */
export const knownCode = (code: string): ErrorCode =>
  (Object.hasOwn(catalogue, code) ? code : 'DBP_INTERNAL') as ErrorCode;

/** An error of the catalogue. `details` fill the message and travel with the JSON form. */
export class DbproxyError extends Error {
  override readonly name = 'DbproxyError';
  readonly code: ErrorCode;
  readonly exitCode: ExitCode;
  readonly sqlstate: string | undefined;
  readonly suggestions: readonly string[];
  readonly details: ErrorDetails;
  readonly lists: ErrorLists;

  constructor(
    code: ErrorCode,
    details: ErrorDetails = {},
    { lists = {}, ...options }: { cause?: unknown; lists?: ErrorLists } = {},
  ) {
    const entry: CatalogueEntry = catalogue[code];
    super(fill(withoutUnknown(entry.message, details), details), options);
    this.code = code;
    this.exitCode = entry.exit;
    this.sqlstate = entry.sqlstate;
    this.suggestions = entry.suggestions
      .map((text) => fill(withoutUnknown(text, details), details))
      .filter((text) => text !== '');
    this.details = details;
    this.lists = lists;
  }

  toJSON(): ErrorJson {
    return {
      schema: 'dbproxy.error/1',
      code: this.code,
      message: this.message,
      suggestions: this.suggestions,
      details: { ...this.details, ...this.lists } as ErrorDetails,
    };
  }

  /** The error that another process of ours sent; an unknown code becomes DBP_INTERNAL with the same message. */
  static fromJSON(json: ErrorJson): DbproxyError {
    const code = knownCode(json.code);
    return new DbproxyError(code, json.details ?? { reason: json.message });
  }

  /** Wraps anything thrown; errors of the catalogue pass as they are. */
  static from(thrown: unknown): DbproxyError {
    if (thrown instanceof DbproxyError) return thrown;
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    const { code } = (thrown ?? {}) as NodeJS.ErrnoException;
    if (wantsOpenFiles(code)) return new DbproxyError('DBP_ENV_OPEN_FILES', { reason }, { cause: thrown });
    return new DbproxyError('DBP_INTERNAL', { reason }, { cause: thrown });
  }
}
