/** Moving the sessions, once there is no way back: as long as the proxy is there, its answer is waited for. */
import { describe, expect, it } from 'vitest';
import { DbproxyError } from '../../src/errors/index.js';
import type { MoveResult, ProxyApi } from '../../src/proxy/control-api.js';
import type { RpcClient } from '../../src/rpc/index.js';
import { moveSessions, NOTHING_MOVED } from '../../src/switchover/forward.js';

const MOVED: MoveResult = { ...NOTHING_MOVED, total: 1, moved: 1 };
const unreachable = (): Promise<never> =>
  Promise.reject(new DbproxyError('DBP_RPC_UNREACHABLE', { socket: 's', reason: 'took longer' }));

/** Answers the calls in order. */
const scripted = (...answers: (() => Promise<unknown>)[]): [RpcClient<ProxyApi>, string[]] => {
  const calls: string[] = [];
  const call = (method: string): Promise<unknown> => {
    calls.push(method);
    return (answers.shift() ?? unreachable)();
  };
  return [{ call } as unknown as RpcClient<ProxyApi>, calls];
};

describe('moveSessions', () => {
  it('an answer that is late is waited for', async () => {
    const [proxy, calls] = scripted(
      unreachable,
      () => Promise.resolve({}),
      () => Promise.resolve(MOVED),
    );
    expect(await moveSessions(proxy, [1])).toEqual(MOVED);
    expect(calls).toEqual(['move', 'status', 'move']);
  });

  it('of a proxy that is gone all sessions have failed', async () => {
    const [proxy] = scripted(unreachable, unreachable);
    expect(await moveSessions(proxy, [1, 2])).toMatchObject({
      total: 2,
      failed: [{ id: 1 }, { id: 2 }],
    });
  });
});
