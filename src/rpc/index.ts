/**
 * NDJSON RPC over a Unix socket: how our own processes talk (CLI → supervisor → proxy).
 *
 * One JSON object a line. Request `{id, method, params}`; answers `{id, result}` or `{id, error: ErrorJson}`; while a long
 * call runs `{id, progress}`. A caller that goes away aborts the signal of its calls. Who may connect is decided by the
 * socket's mode 0600 inside a 0700 directory.
 */
import type { RpcClient } from './client.js';

export { RpcServer, type RpcContext, type RpcHandlers } from './server.js';
export { RpcClient, type CallOptions } from './client.js';

/** Who can be asked: one server over its connection, or several that answer as one. */
export type Rpc<Api extends RpcApi<Api>> = Pick<RpcClient<Api>, 'call' | 'close' | 'closed'>;

/** The form of an API: method name → its params, result and, for long calls, progress. */
export type RpcApi<Api> = { [M in keyof Api]: { params: unknown; result: unknown; progress?: unknown } };
