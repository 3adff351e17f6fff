/**
 * Where etcd is: `etcd://user:password@a:2379,b:2379/prefix?ca=/etc/etcd/ca.pem`. Several machines of one cluster are divided by commas;
 * everything is kept below the prefix. TLS with `tls=on`, or with a file: `ca`, and `cert` with `key` for a client's certificate.
 */
import { DbproxyError } from '../../errors/index.js';

export const ETCD_SCHEME = 'etcd://';
const DEFAULT_PORT = 2379;
const DEFAULT_PREFIX = '/dbproxy';
const FORM =
  'etcd://[user:password@]host:port[,host:port…][/prefix], with %40 for @, %2F for / and %3F for ? in user and password';

export interface EtcdTarget {
  /** `http://127.0.0.1:2379`; at least one. */
  readonly endpoints: readonly string[];
  /** Begins with a slash, and ends without one. */
  readonly prefix: string;
  readonly user: { readonly name: string; readonly password: string } | null;
  /** Files in PEM; null: no TLS. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string } | null;
}

/** Throws DBP_USAGE. */
export function parseEtcdUrl(text: string): EtcdTarget {
  const found = /^etcd:\/\/(?:([^:@/?]*)(?::([^@/?]*))?@)?([^/?@]+)(\/[^?@]*)?(?:\?([^@]*))?$/.exec(text);
  // It is not shown: where its password ends is not known.
  if (!found) throw new DbproxyError('DBP_USAGE', { reason: `the store is refused: it is ${FORM}` });
  const [, name, password, hosts = '', path = '', query = ''] = found;
  const tls = readTls(text, new URLSearchParams(query));
  const prefix = path.replace(/\/+$/, '');
  return {
    endpoints: hosts.split(',').map((host) => endpointOf(text, host, tls !== null)),
    prefix: prefix === '' ? DEFAULT_PREFIX : prefix,
    user: name ? { name: decode(text, name), password: decode(text, password ?? '') } : null,
    tls,
  };
}

/** As people may see it. */
export const withoutEtcdPassword = (url: string): string => url.replace(/^(\w+:\/\/[^:@]*):.*@/s, '$1@');

function endpointOf(url: string, host: string, isTls: boolean): string {
  const found = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+)(?::(\d+))?$/.exec(host);
  const port = Number(found?.[2] ?? DEFAULT_PORT);
  if (!found?.[1] || port < 1 || port > 65_535) throw refused(url, `${host || 'nothing'} is no host:port`);
  return `${isTls ? 'https' : 'http'}://${found[1]}:${port}`;
}

function readTls(url: string, query: URLSearchParams): EtcdTarget['tls'] {
  for (const name of query.keys()) {
    if (!['tls', 'ca', 'cert', 'key'].includes(name)) throw refused(url, `it knows no ${name}=`);
  }
  const [tls, ca, cert, key] = ['tls', 'ca', 'cert', 'key'].map((name) => query.get(name) ?? undefined);
  if (tls !== undefined && !['on', 'off'].includes(tls)) throw refused(url, `tls is on or off, not ${tls}`);
  if ((cert === undefined) !== (key === undefined)) throw refused(url, 'cert and key go together');
  const files = { ...(ca ? { ca } : {}), ...(cert && key ? { cert, key } : {}) };
  const hasFiles = Object.keys(files).length > 0;
  if (tls === 'off' && hasFiles) throw refused(url, 'tls=off has no certificates');
  return tls === 'on' || hasFiles ? files : null;
}

const decode = (url: string, text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    throw refused(url, 'a % in user or password is written %25');
  }
};

const refused = (url: string, reason: string): DbproxyError =>
  new DbproxyError('DBP_USAGE', { reason: `the store ${withoutEtcdPassword(url)} is refused: ${reason}` });
