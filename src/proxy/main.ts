/**
 * Entry of the proxy process: `node dist/proxy/main.js` with a ProxyConfig in DBPROXY_PROXY_CONFIG. Ready when its control
 * socket answers `status`. Exits 98 when the port is taken, 0 after `shutdown`, SIGTERM, or when a successor has taken over and no client's TLS ends here any more.
 * With DBPROXY_PROXY_SUCCESSOR it is that successor, and takes over from the process that started it (handover/).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { endIfLoadOnly } from '../load-only.js';
import { logLine } from '../log-line.js';
import { RpcServer, type RpcHandlers } from '../rpc/index.js';
import { DEFAULT_LIMITS } from '../session-state/index.js';
import { VERSION } from '../version.js';
import type { ProxyApi, ProxyConfig } from './control-api.js';
import { SUCCESSOR_VARIABLE } from './handover/predecessor.js';
import { Successor } from './handover/successor.js';
import { newWriter, writerHandlers } from './certify/writer-host.js';
import { Proxy } from './proxy.js';
import { selfTest } from './raw-handle.js';
import { CertificateStore } from './tls/certificate.js';

const EXIT_ADDRESS_IN_USE = 98;
/** How long a replaced process waits for whoever asked for it to have read the answer, ms. */
const ANSWER_READ_MS = 1_000;
/** How long it keeps connections that it is closing, ms; then the kernel closes them. */
const CLOSING_MS = 500;

const handlers = (proxy: Proxy, stop: () => void): RpcHandlers<ProxyApi> => ({
  status: () => proxy.status(),
  sessions: () => proxy.snapshots(),
  check: ({ withinMs, limits }) => proxy.check(withinMs, limits ?? DEFAULT_LIMITS),
  inspect: ({ id, withinMs, limits }) => proxy.inspect(id, withinMs, limits ?? DEFAULT_LIMITS),
  route: async ({ engine }) => {
    await proxy.route(engine);
    return null;
  },
  warm: ({ target, withinMs, limits }, context) =>
    proxy.gate.warm(target, withinMs, limits ?? DEFAULT_LIMITS, (warmed) =>
      context.progress({ warmed, sessions: proxy.sessions.size }),
    ),
  lookAgain: ({ withinMs }) => proxy.gate.lookAgain(withinMs),
  lookAhead: async ({ withinMs, unlessFew }) => {
    await proxy.gate.lookAhead(withinMs, unlessFew);
    return null;
  },
  unwarm: () => {
    proxy.gate.unwarm();
    return null;
  },
  hold: ({ budgetMs, unmovable, cancelTransactions, operation, together }) =>
    proxy.gate.hold(budgetMs, unmovable, cancelTransactions, operation, together),
  seal: () => proxy.gate.seal(),
  prepare: ({ decision }, { signal }) => proxy.gate.prepare(decision, signal),
  release: async () => {
    await proxy.gate.release();
    return null;
  },
  commit: (_params, { signal }) => proxy.gate.commit(signal),
  survey: ({ withinMs, limits }) => proxy.gate.survey(withinMs, limits ?? DEFAULT_LIMITS),
  save: ({ boundMs }, { signal }) => proxy.gate.save(boundMs, signal),
  move: (_params, context) => proxy.gate.move((moved, total) => context.progress({ moved, total })),
  cover: async ({ engine }, context) => {
    await proxy.cover.begin(engine, context.signal, () => context.progress({ lost: engine }));
    return null;
  },
  revive: (params) => proxy.revive(params),
  left: async () => {
    await proxy.gate.leftBehind.closed();
    return null;
  },
  handover: async (params, context) => {
    const result = await proxy.handOver(params, (progress) => context.progress(progress));
    // They would go on telling us what is for the successor's writer, and hear nothing, for as long as we are here.
    context.endOthersThatAsked('writer.tell', 'writer.events');
    void exitWhenRead(proxy, context.signal);
    return result;
  },
  giveUpHandover: () => {
    proxy.giveUpHandover();
    return null;
  },
  trace: (request, context) => proxy.traces.trace(request, context),
  startMember: ({ program, config }) => proxy.startMember(program, config),
  cancel: async ({ processId, secret }) => {
    await proxy.cancelHereOrInSuccessor(processId, Buffer.from(secret, 'base64'));
    return null;
  },
  movedShared: async () => {
    await proxy.gate.movedShared();
    return null;
  },
  view: () => proxy.view(),
  shutdown: () => {
    setImmediate(stop);
    return null;
  },
  ...writerHandlers(proxy),
});

/**
 * Nothing is closed in order: the listening sockets and the control socket's name are the successor's now. Clients whose TLS
 * ends here keep the process, as their tunnel.
 */
const exitWhenRead = async (proxy: Proxy, caller: AbortSignal): Promise<void> => {
  const gone = new Promise<void>((resolve) => caller.addEventListener('abort', () => resolve()));
  await Promise.race([gone, delay(ANSWER_READ_MS)]);
  await delay(CLOSING_MS);
  await proxy.redirected();
  await proxy.remainAsTunnel();
  process.exit(0);
};

const run = async (): Promise<void> => {
  const config = JSON.parse(process.env['DBPROXY_PROXY_CONFIG'] ?? '{}') as ProxyConfig;
  const stop = (): void => {
    // What a successor has is not ours to close.
    if (proxy.isReplaced) {
      void proxy.closeTunnels().finally(() => process.exit(0));
      return;
    }
    void Promise.all([proxy.close(), control.close()]).finally(() => process.exit(0));
    setTimeout(() => process.exit(0), 1_000).unref();
  };
  const proxy: Proxy = new Proxy({
    config,
    certificates: config.tls ? await CertificateStore.open(config.tls) : null,
    version: VERSION,
    writer: config.writer ? newWriter(config.writer) : null,
    fastPath: await selfTest(),
    bindControl: () => control.bind(config.controlSocket, config.generation % 2 === 0 ? '~' : '+'),
    openControl: () =>
      control.takeName(config.controlSocket, () => {
        logLine(`${config.controlSocket} was removed: nobody can reach this proxy any more`);
        stop();
      }),
  });
  const control: RpcServer<ProxyApi> = new RpcServer<ProxyApi>(handlers(proxy, stop));
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGHUP', () => undefined);
  if (process.env[SUCCESSOR_VARIABLE] !== undefined && process.send) {
    await new Successor(proxy).run();
    return;
  }
  await proxy.listen();
  await proxy.bindControl();
  await proxy.openControl();
};

endIfLoadOnly();
run().catch((error: NodeJS.ErrnoException) => {
  logLine(error.stack ?? String(error));
  process.exit(error.code === 'EADDRINUSE' ? EXIT_ADDRESS_IN_USE : 1);
});
