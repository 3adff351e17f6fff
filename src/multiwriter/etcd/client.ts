/**
 * What is needed of etcd's API, in its own terms: transactions and a watch (etcd's manual, "etcd API"). Keys are texts, revisions are
 * numbers: a cluster would need centuries to pass 2^53.
 */
import { EtcdTransport } from './transport.js';
import type { EtcdTarget } from './url.js';

/** The default of --max-txn-ops: comparisons, and operations, of one transaction. */
export const MAX_OPERATIONS = 128;
/** Keys of one page. For each etcd reads its value, also where only the key is asked for. */
const PAGE_KEYS = 500;

/** `end`: a range of keys, all of which have to be so; one that is not there has the revision 0. */
export type Compare = { readonly key: string; readonly end?: string } & (
  { readonly changedBefore: number } | { readonly changedAt: number } | { readonly isAbsent: true }
);

export type Operation =
  | { readonly put: string; readonly value: string | Buffer }
  | ({ readonly get: string } & GetOptions)
  | { readonly remove: string; readonly end?: string };

export interface GetOptions {
  readonly end?: string;
  readonly keysOnly?: boolean;
  readonly limit?: number;
}

export interface KeyValue {
  readonly key: string;
  readonly value: Buffer;
  /** When it was changed last. */
  readonly revision: number;
}

export interface Txn {
  readonly if?: readonly Compare[];
  readonly then: readonly Operation[];
  readonly else?: readonly Operation[];
}

export interface TxnAnswer {
  readonly succeeded: boolean;
  /** Of the whole store, after it. */
  readonly revision: number;
  /** What each operation of the branch that was taken has found. */
  readonly found: readonly (readonly KeyValue[])[];
}

/** What was put, in the order of revisions; or that the history does not reach back so far. */
export type Watched = { readonly puts: readonly KeyValue[] } | { readonly compacted: number };

export class EtcdClient {
  readonly transport: EtcdTransport;

  /** Throws DBP_USAGE. */
  constructor(target: EtcdTarget) {
    this.transport = new EtcdTransport(target);
  }

  /** Throws DBP_ETCD_AWAY, DBP_ETCD_REFUSED, DBP_ETCD_FULL. */
  async txn(txn: Txn): Promise<TxnAnswer> {
    const answer = await this.transport.ask<WireTxnAnswer>('/v3/kv/txn', {
      compare: (txn.if ?? []).map(wireCompare),
      success: txn.then.map(wireOperation),
      failure: (txn.else ?? []).map(wireOperation),
    });
    return {
      succeeded: answer.succeeded ?? false,
      revision: Number(answer.header.revision),
      found: (answer.responses ?? []).map(({ response_range }) =>
        (response_range?.kvs ?? []).map(readKeyValue),
      ),
    };
  }

  /** One key, or those of a range, in the order of keys. */
  async get(
    key: string,
    options: GetOptions = {},
  ): Promise<{ found: readonly KeyValue[]; revision: number }> {
    const { found, revision } = await this.txn({ then: [{ get: key, ...options }] });
    return { found: found[0] ?? [], revision };
  }

  /**
   * The keys below `prefix` as they were at `revision`, a page at a time, and one page at least. What was changed or removed since
   * may be missing.
   */
  async *pages(prefix: string): AsyncGenerator<{ found: readonly KeyValue[]; revision: number }> {
    const options = { end: endOf(prefix), keysOnly: true, limit: PAGE_KEYS };
    let from: string | null = prefix;
    let bound = Infinity;
    while (from !== null) {
      const { found, revision } = await this.get(from, options);
      bound = Math.min(bound, revision);
      const last = found.length < PAGE_KEYS ? undefined : found.at(-1);
      from = last ? `${last.key}\0` : null;
      yield { found: found.filter((one) => one.revision <= bound), revision: bound };
    }
  }

  /** What is put below `prefix` from revision `from` on. Throws DBP_ETCD_AWAY. */
  async *watch(prefix: string, from: number, signal: AbortSignal): AsyncGenerator<Watched> {
    const request = {
      key: encode(prefix),
      range_end: encode(endOf(prefix)),
      start_revision: String(from),
      filters: ['NODELETE'],
    };
    const lines = this.transport.lines('/v3/watch', { create_request: request }, signal);
    for await (const line of lines) {
      const { result } = line as WireWatched;
      if (!result) throw new Error(`the watch has failed: ${JSON.stringify(line).slice(0, 200)}`);
      if (result.canceled) {
        if (!result.compact_revision) throw new Error(`the watch has ended: ${result.cancel_reason ?? ''}`);
        yield { compacted: Number(result.compact_revision) };
        return;
      }
      const puts = (result.events ?? []).flatMap(({ kv }) => (kv ? [readKeyValue(kv)] : []));
      if (puts.length > 0) yield { puts };
    }
  }

  close(): void {
    this.transport.close();
  }
}

/** First key behind all that begin with `prefix`, which ends with an ASCII character. */
export const endOf = (prefix: string): string =>
  prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);

// --- as it travels: bytes in base64, 64-bit numbers as text, what is zero left out ----------------------------------------
interface WireKeyValue {
  readonly key: string;
  readonly value?: string;
  readonly mod_revision: string;
}
interface WireTxnAnswer {
  readonly header: { readonly revision: string };
  readonly succeeded?: boolean;
  readonly responses?: readonly { readonly response_range?: { readonly kvs?: readonly WireKeyValue[] } }[];
}
interface WireWatched {
  readonly result?: {
    readonly canceled?: boolean;
    readonly compact_revision?: string;
    readonly cancel_reason?: string;
    readonly events?: readonly { readonly type?: string; readonly kv?: WireKeyValue }[];
  };
}

const encode = (text: string | Buffer): string => Buffer.from(text as string).toString('base64');
const decode = (text: string): Buffer => Buffer.from(text, 'base64');

const readKeyValue = ({ key, value = '', mod_revision }: WireKeyValue): KeyValue => ({
  key: decode(key).toString('utf8'),
  value: decode(value),
  revision: Number(mod_revision),
});

function wireCompare(compare: Compare): object {
  const about = {
    key: encode(compare.key),
    ...(compare.end === undefined ? {} : { range_end: encode(compare.end) }),
  };
  if ('isAbsent' in compare) return { ...about, target: 'CREATE', result: 'EQUAL', create_revision: '0' };
  if ('changedAt' in compare) {
    return { ...about, target: 'MOD', result: 'EQUAL', mod_revision: String(compare.changedAt) };
  }
  return { ...about, target: 'MOD', result: 'LESS', mod_revision: String(compare.changedBefore) };
}

function wireOperation(operation: Operation): object {
  if ('put' in operation)
    return { request_put: { key: encode(operation.put), value: encode(operation.value) } };
  const end = operation.end === undefined ? {} : { range_end: encode(operation.end) };
  if ('remove' in operation) return { request_delete_range: { key: encode(operation.remove), ...end } };
  const { get, keysOnly = false, limit } = operation;
  return {
    request_range: {
      key: encode(get),
      ...end,
      keys_only: keysOnly,
      ...(limit === undefined ? {} : { limit: String(limit) }),
    },
  };
}
