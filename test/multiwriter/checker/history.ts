/**
 * A history of list-append: what clients of all writers did to lists, and what they were told. Lists only grow, and no element is
 * appended twice, so that a read says in which order the appends before it came.
 */
export interface Append {
  readonly kind: 'append';
  readonly list: string;
  readonly element: number;
}

export interface Read {
  readonly kind: 'read';
  readonly list: string;
  readonly elements: readonly number[];
}

export interface Transaction {
  /** Unique; for messages. */
  readonly id: string;
  /** Client session: its transactions come one after the other. */
  readonly session: string;
  /** `unknown`: the connection went before an answer to COMMIT came. */
  readonly outcome: 'committed' | 'aborted' | 'unknown';
  readonly operations: readonly (Append | Read)[];
}

export interface History {
  /** Of one session in their order. */
  readonly transactions: readonly Transaction[];
  /** At rest, of each writer: all its lists. */
  readonly final: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
}

export type Anomaly =
  /** A read is not a beginning of what the list came to be: two orders of one list. */
  | { readonly kind: 'incompatible-order'; readonly list: string; readonly transaction: string }
  | { readonly kind: 'writers-differ'; readonly list: string; readonly writers: readonly [string, string] }
  /** An acknowledged append that a writer does not have. */
  | {
      readonly kind: 'lost';
      readonly list: string;
      readonly element: number;
      readonly transaction: string;
      readonly writer: string;
    }
  | { readonly kind: 'duplicate'; readonly list: string; readonly element: number; readonly where: string }
  /** What an aborted transaction appended, or nobody did. */
  | {
      readonly kind: 'aborted-read';
      readonly list: string;
      readonly element: number;
      readonly transaction: string;
      readonly where: string;
    }
  | { readonly kind: 'phantom'; readonly list: string; readonly element: number; readonly where: string }
  /** A part of what a transaction appended to one list. */
  | {
      readonly kind: 'intermediate-read';
      readonly list: string;
      readonly transaction: string;
      readonly of: string;
    }
  /** A read that misses what its own transaction, before it, appended. */
  | { readonly kind: 'own-append-missed'; readonly list: string; readonly transaction: string }
  | {
      readonly kind: 'cycle';
      readonly of: 'writes' | 'information' | 'one-anti-dependency';
      readonly transactions: readonly string[];
    };
