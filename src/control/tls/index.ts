/** TLS of an instance: what was asked for, the files it takes, what clients are told. */
import { resolve } from 'node:path';
import { DbproxyError } from '../../errors/index.js';
import type { ProxyTls } from '../../proxy/control-api.js';
import type { InstanceSpec, TlsSpec } from '../api.js';
import type { InstancePaths } from '../paths.js';
import { settingsDiffer } from '../settings-differ.js';
import { checkGivenFiles, isFor } from './given-files.js';
import { ensureOwnCertificate } from './own-certificate.js';

/** What `up` asks for. */
export interface TlsRequest {
  readonly tls?: 'off' | TlsSpec['mode'] | undefined;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly tlsCa?: string | undefined;
}

/** What another instance is to ask for, to have the same. */
export const asTlsRequest = (tls: TlsSpec | undefined): TlsRequest => ({
  tls: tls?.mode ?? 'off',
  tlsCert: tls?.certificateFile,
  tlsKey: tls?.keyFile,
  tlsCa: tls?.rootFile,
});

/** What is left out stays as it was. Throws DBP_USAGE, DBP_TLS_FILE. */
export async function settleTls(
  { tls, tlsCert, tlsKey, tlsCa }: TlsRequest,
  before: TlsSpec | undefined,
  connectHost: string,
): Promise<TlsSpec | undefined> {
  const mode = tls ?? before?.mode ?? 'off';
  const named = [tlsCert, tlsKey, tlsCa].some((file) => file !== undefined);
  if (mode === 'off') {
    if (named)
      throw new DbproxyError('DBP_USAGE', {
        reason: '--tls-cert, --tls-key and --tls-ca need --tls on or --tls required',
      });
    return undefined;
  }
  if (!named) return { ...before, mode };
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new DbproxyError('DBP_USAGE', { reason: '--tls-cert and --tls-key go together' });
  }
  const files = { certificateFile: resolve(tlsCert), keyFile: resolve(tlsKey) };
  const rootFile = await checkGivenFiles({
    ...files,
    rootFile: tlsCa === undefined ? undefined : resolve(tlsCa),
  });
  if (rootFile === null) return { mode, ...files };
  return {
    mode,
    ...files,
    rootFile,
    verify: (await isFor(files.certificateFile, connectHost)) ? 'full' : 'ca',
  };
}

/** Throws DBP_INSTANCE_SETTINGS_DIFFER when a running instance has something else. */
export function assertSameTls(
  { tls, tlsCert, tlsKey }: TlsRequest,
  { name, tls: running }: InstanceSpec,
): void {
  const differs = (setting: string, has: string, wanted: string | undefined): void => {
    if (wanted === undefined || wanted === has) return;
    throw settingsDiffer(name, setting, has, wanted);
  };
  differs('tls', running?.mode ?? 'off', tls);
  differs('tls-cert', running?.certificateFile ?? 'one of its own', tlsCert && resolve(tlsCert));
  differs('tls-key', running?.keyFile ?? 'one of its own', tlsKey && resolve(tlsKey));
}

/** The files that a proxy takes, checked or made now. Undefined: no TLS. Throws DBP_TLS_FILE, DBP_ENV_DIRECTORY. */
export async function proxyTls(
  { tls, host }: InstanceSpec,
  paths: InstancePaths,
): Promise<ProxyTls | undefined> {
  if (!tls) return undefined;
  const { mode, certificateFile, keyFile } = tls;
  if (certificateFile !== undefined && keyFile !== undefined) {
    await checkGivenFiles({ certificateFile, keyFile });
    return { mode, certificateFile, keyFile };
  }
  await ensureOwnCertificate(paths, host);
  return { mode, certificateFile: paths.tlsServerFile, keyFile: paths.tlsServerFile };
}

/** Query of the URL that clients are given: `?sslmode=verify-full&sslrootcert=…`; '' without TLS. */
export function tlsQuery(tls: TlsSpec | undefined, paths: Pick<InstancePaths, 'tlsRootFile'>): string {
  if (!tls) return '';
  const root = tls.certificateFile === undefined ? paths.tlsRootFile : tls.rootFile;
  if (root === undefined) return '?sslmode=require';
  return `?sslmode=verify-${tls.verify ?? 'full'}&sslrootcert=${encodeURIComponent(root).replaceAll('%2F', '/')}`;
}
