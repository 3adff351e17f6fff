/**
 * Ends a resize whose supervisor died in the middle of it: all of it once more, to the size that is on record for it. An engine
 * that does not run is started with that size by whoever starts it next.
 */
import { DbproxyError } from '../errors/index.js';
import type { Instance } from './instance.js';
import type { OperationRecord } from './records.js';
import { makePrimary } from './settle-operation.js';

type ResizeRecord = OperationRecord & { readonly resize: NonNullable<OperationRecord['resize']> };

/** Returns what it did, for people. */
export async function settleResize(
  instance: Instance,
  { id, from, step, resize: { size, outcome } }: ResizeRecord,
): Promise<string> {
  const engine = instance.engine(from);
  if (!engine) {
    const file = instance.paths.operationFile;
    throw new DbproxyError('DBP_INSTANCE_DAMAGED', { file, reason: `there is no engine ${from}` });
  }
  const health = await instance.provider.inspect(engine);
  if (health.state === 'unresponsive') {
    throw new DbproxyError('DBP_ENGINE_LOST', { engine: from, reason: health.reason });
  }
  const refused =
    health.state === 'running'
      ? await instance.provider.resize(engine, size).then(
          () => null,
          (error: unknown) => DbproxyError.from(error),
        )
      : null;
  // Refused, it is as it was on record, and any start makes it so.
  const reached = refused === null ? size : engine.size;
  await makePrimary(instance, { ...engine, size: reached });
  const came = refused === null ? outcome : 'rolled-back';
  const because = refused === null ? '' : `: ${refused.message}`;
  const done = `${came === 'completed' ? 'finished' : 'rolled back'} ${id}: ${from} is ${reached}${because}`;
  instance.events.append(`operation.${came}`, done, {
    ...{ operation: id, outcome: came, repaired: true, step, from, to: from },
  });
  return done;
}
