/**
 * Entry of a storage node's process: `node dist/multiwriter/storage/main.js` with a StoreConfig in DBPROXY_STORE_CONFIG. Ready when
 * its socket answers `status`; it votes once that says `in-service`. Ends with 4 and one line on stderr, `CODE: message`,
 * when its data is not what it must be.
 */
import { endIfLoadOnly } from '../../load-only.js';
import { logLine } from '../../log-line.js';
import { DbproxyError } from '../../errors/index.js';
import { type RpcContext, RpcServer } from '../../rpc/index.js';
import { MAX_BEHIND_BYTES, type StoreApi, type StoreConfig } from './api.js';
import { HeldBack } from './held-back.js';
import { NodeService } from './service.js';

const end = (error: unknown): never => {
  const known = DbproxyError.from(error);
  logLine(`${known.code}: ${known.message}`);
  process.exit(known.exitCode);
};

/** One that does not listen fetches what it has missed. */
const unlessBehind =
  <News>(listener: RpcContext<News>) =>
  (news: News): void => {
    if (listener.behindBytes <= MAX_BEHIND_BYTES) listener.progress(news);
  };

const run = async (): Promise<void> => {
  const config = JSON.parse(process.env['DBPROXY_STORE_CONFIG'] ?? '{}') as StoreConfig;
  const service = await NodeService.open(config, end);
  const heldBack = new HeldBack();
  const stop = (): void => {
    void Promise.all([server.close(), service.close()]).finally(() => process.exit(0));
  };
  const server: RpcServer<StoreApi> = new RpcServer<StoreApi>({
    tell: (messages) => {
      const late = heldBack.wait(messages);
      return late ? late.then(() => service.tell(messages)) : service.tell(messages);
    },
    follow: (_params, context) => service.follow(unlessBehind(context), context.signal),
    read: ({ writer }, context) => service.read(writer, unlessBehind(context), context.signal),
    hello: ({ node, position }) => service.hello(node, position),
    status: () => ({ ...service.status(), delayMs: heldBack.delayMs }),
    holdBack: ({ writer, delayMs, forMs }) => {
      heldBack.set(writer, delayMs, forMs);
      return null;
    },
    shutdown: () => {
      setImmediate(stop);
      return null;
    },
  });
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGHUP', () => undefined);
  await server.listen(config.socket, stop);
};

endIfLoadOnly();
run().catch(end);
