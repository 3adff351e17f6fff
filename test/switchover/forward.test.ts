/** Once there is no way back: the target is promoted, unless clients are back already; and the proxy's answer is waited for. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { DbproxyError } from '../../src/errors/index.js';
import type { MoveResult, ProxyApi } from '../../src/proxy/control-api.js';
import type { RpcClient } from '../../src/rpc/index.js';
import { EngineLink } from '../../src/switchover/engine-link.js';
import { moveSessions, NOTHING_MOVED, promoteForSure } from '../../src/switchover/forward.js';
import { isInRecovery } from '../../src/switchover/promote.js';
import { TestEngines } from '../support/engines.js';

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

describe('promoteForSure', () => {
  let engines: TestEngines;
  let target: EngineRecord;
  beforeAll(async () => {
    engines = await TestEngines.open();
    target = await engines.standbyOf(await engines.primary());
  });
  afterAll(() => engines?.close());

  const recovers = async (): Promise<boolean> => {
    const link = await EngineLink.open(target);
    return isInRecovery(link).finally(() => link.close());
  };

  it('clients are on the old engine again: there is to be no second primary', async () => {
    const kept = await EngineLink.open(target);
    await kept.close();
    const isOver = (): Promise<boolean> => Promise.resolve(true);
    await expect(promoteForSure(engines.provider, target, kept, isOver)).rejects.toMatchObject({
      code: 'DBP_SWITCH_HOLD_LOST',
    });
    expect(await recovers()).toBe(true);
  });

  it('they are held: the target is promoted, also where the kept connection was lost', async () => {
    const kept = await EngineLink.open(target);
    await kept.close();
    const isOver = (): Promise<boolean> => Promise.resolve(false);
    expect(await promoteForSure(engines.provider, target, kept, isOver)).toMatchObject({ id: target.id });
    expect(await recovers()).toBe(false);
  });
});
