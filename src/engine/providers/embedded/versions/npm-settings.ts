/**
 * The user's own settings of npm: which registry, by which proxy, with which certificates and credentials. Read from the
 * environment (`npm_config_…`, `HTTPS_PROXY` …), the user's and the global .npmrc.
 *
 * Not from a project's .npmrc: the cache is the user's, and whoever wrote the directory that a command is typed in must not
 * say where its programs come from. npm does the same for what it installs globally.
 */
import type { Dispatcher } from 'undici';

export interface NpmSettings {
  /** With a final slash. */
  readonly registry: string;
  /** Host of the registry that npm asks without any setting. */
  readonly publicHost: string;
  /** The header for one address: credentials go to the host they belong to alone. */
  authorization(url: string): string | undefined;
  readonly dispatcher: Dispatcher;
}

/** To be connected, to be answered, and from one byte to the next. */
const CONNECT_BOUND_MS = 10_000;
const ANSWER_BOUND_MS = 30_000;

const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

export async function npmSettings(scope: string): Promise<NpmSettings> {
  const [{ default: npmConf }, { default: authToken }, { EnvHttpProxyAgent }] = await Promise.all([
    import('@pnpm/npm-conf'),
    import('registry-auth-token'),
    import('undici'),
  ]);
  const { config } = npmConf({ global: true });
  // Unscoped credentials would go to whatever host a package is at; npm refuses them, too.
  const { _auth, ...settings } = config.snapshot;
  const registry = text(config.get(`${scope}:registry`)) ?? text(config.get('registry')) ?? '';
  const tls = { rejectUnauthorized: config.get('strict-ssl') !== false, ...certificates(config.get('ca')) };
  const proxy = text(config.get('proxy'));
  const noProxy = config.get('noproxy');
  return {
    registry: registry.endsWith('/') ? registry : `${registry}/`,
    publicHost: new URL(npmConf.defaults.registry).host,
    authorization(url) {
      const npmrc = settings as Record<string, string | undefined>;
      const found = authToken(url, { recursive: true, npmrc });
      return found && `${found.type} ${found.token}`;
    },
    // What is undefined here is taken from HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
    dispatcher: new EnvHttpProxyAgent({
      ...optional('httpProxy', proxy),
      ...optional('httpsProxy', text(config.get('https-proxy')) ?? proxy),
      ...optional('noProxy', text(Array.isArray(noProxy) ? noProxy.join(',') : noProxy)),
      connect: { timeout: CONNECT_BOUND_MS, ...tls },
      requestTls: tls,
      headersTimeout: ANSWER_BOUND_MS,
      bodyTimeout: ANSWER_BOUND_MS,
    }),
  };
}

const optional = (name: string, value: string | undefined): Record<string, string> =>
  value === undefined ? {} : { [name]: value };

function certificates(ca: unknown): { ca?: string[] } {
  const list = (Array.isArray(ca) ? ca : [ca]).filter((each): each is string => text(each) !== undefined);
  return list.length === 0 ? {} : { ca: list };
}
