/** The machines of a cluster as they are now: each is asked for itself. */
import { DbproxyError } from '../../errors/index.js';
import { EtcdTransport } from './transport.js';
import type { EtcdTarget } from './url.js';

const ANSWER_BOUND_MS = 2_000;

export interface EtcdMember {
  /** `127.0.0.1:2379` */
  readonly endpoint: string;
  /** Null: it does not answer. */
  readonly answer: {
    readonly version: string;
    readonly revision: number;
    readonly dbBytes: number;
  } | null;
  /** Why it does not answer, or cannot take anything: `NOSPACE`, no leader. Null: nothing is wrong. */
  readonly reason: string | null;
}

interface WireStatus {
  readonly header: { readonly revision?: string };
  readonly version: string;
  readonly dbSize?: string;
  readonly errors?: readonly string[];
}

export function etcdMembers(target: EtcdTarget): Promise<EtcdMember[]> {
  return Promise.all(
    target.endpoints.map(async (url): Promise<EtcdMember> => {
      const endpoint = url.replace(/^https?:\/\//, '');
      const transport = new EtcdTransport({ ...target, endpoints: [url] });
      try {
        const status = await transport.ask<WireStatus>('/v3/maintenance/status', {}, ANSWER_BOUND_MS);
        const { header, version, dbSize = 0, errors = [] } = status;
        const answer = { version, revision: Number(header.revision ?? 0), dbBytes: Number(dbSize) };
        return { endpoint, answer, reason: errors.length > 0 ? errors.join('; ') : null };
      } catch (error) {
        const { code, details, message } = DbproxyError.from(error);
        // Which one cannot be reached is said beside it.
        const reason = code === 'DBP_ETCD_AWAY' ? String(details.reason) : message;
        return { endpoint, answer: null, reason };
      } finally {
        transport.close();
      }
    }),
  );
}
