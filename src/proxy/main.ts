/**
 * Entry of the proxy process: `node dist/proxy/main.js` with a ProxyConfig in DBPROXY_PROXY_CONFIG. Ready when its control
 * socket answers `status`. Exits 98 when the port is taken, 0 after `shutdown` or SIGTERM.
 */
import { readFileSync } from 'node:fs';
import { RpcServer } from '../rpc/index.js';
import { DEFAULT_LIMITS } from '../session-state/index.js';
import type { ProxyApi, ProxyConfig } from './control-api.js';
import { Proxy } from './proxy.js';
import { selfTest } from './raw-handle.js';

const EXIT_ADDRESS_IN_USE = 98;

const packageVersion = (): string => {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
};

const run = async (): Promise<void> => {
  const config = JSON.parse(process.env['DBPROXY_PROXY_CONFIG'] ?? '{}') as ProxyConfig;
  const proxy = new Proxy({ ...config, version: packageVersion(), fastPath: await selfTest() });
  await proxy.listen();

  const control = new RpcServer<ProxyApi>({
    status: () => proxy.status(),
    sessions: () => proxy.sessions(),
    check: ({ withinMs, limits }) => proxy.check(withinMs, limits ?? DEFAULT_LIMITS),
    route: async ({ engine }) => {
      await proxy.route(engine);
      return null;
    },
    warm: ({ target, withinMs, limits }, context) =>
      proxy.gate.warm(target, withinMs, limits ?? DEFAULT_LIMITS, (warmed) =>
        context.progress({ warmed, sessions: proxy.status().sessions }),
      ),
    lookAgain: ({ withinMs }) => proxy.gate.lookAgain(withinMs),
    unwarm: () => {
      proxy.gate.unwarm();
      return null;
    },
    hold: ({ budgetMs, unmovable, cancelTransactions, operation }) =>
      proxy.gate.hold(budgetMs, unmovable, cancelTransactions, operation),
    release: async () => {
      await proxy.gate.release();
      return null;
    },
    commit: (_params, { signal }) => proxy.gate.commit(signal),
    move: (_params, context) => proxy.gate.move((moved, total) => context.progress({ moved, total })),
    left: async () => {
      await proxy.gate.leftBehind.closed();
      return null;
    },
    shutdown: () => {
      setImmediate(stop);
      return null;
    },
  });
  const stop = (): void => {
    void Promise.all([proxy.close(), control.close()]).finally(() => process.exit(0));
    setTimeout(() => process.exit(0), 1_000).unref();
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGHUP', () => undefined);
  await control.listen(config.controlSocket);
};

run().catch((error: NodeJS.ErrnoException) => {
  process.stderr.write(`${error.stack ?? String(error)}\n`);
  process.exit(error.code === 'EADDRINUSE' ? EXIT_ADDRESS_IN_USE : 1);
});
