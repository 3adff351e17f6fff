/** How state is read and replayed: whole exchanges with one backend, at a safe point, over the session's own connection. */

/** One result set: rows of text columns (byte strings), null for SQL NULL. */
export type Rows = readonly (readonly (string | null)[])[];

export interface Column {
  readonly name: string;
  readonly type: number;
  readonly modifier: number;
}

export interface ReplyError {
  readonly sqlstate: string;
  readonly message: string;
}

/** What came up to one ReadyForQuery. */
export interface Reply {
  /** A set for every statement that returns rows. */
  readonly sets: readonly Rows[];
  /** Of the last of them, or of what was described. */
  readonly columns: readonly Column[];
  readonly error: ReplyError | null;
  readonly status: 'I' | 'T' | 'E';
}

export interface StateChannel {
  /** Sends messages that lead to `ready` ReadyForQuery; resolves with a Reply for each. Rejects when the backend is gone. */
  exchange(messages: Buffer, ready: number): Promise<readonly Reply[]>;
}
