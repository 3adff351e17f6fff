/**
 * `patch`: every session to another minor version of PostgreSQL, and to another size in the same step if that is wanted. The
 * binaries are fetched, and have run, before anything begins.
 */
import type { EngineProgress, EngineRecord, EngineSource } from '../../engine/types.js';
import { DbproxyError } from '../../errors/index.js';
import type { MoveRecord, OperationProgress, PatchParams } from '../api.js';
import { assertNoImage, createProvider } from '../provider.js';
import { move, runningPrimary, type OperationContext } from './move.js';

/** Throws DBP_PATCH_MAJOR, DBP_PATCH_DOWNGRADE, and what its provider throws for a version; nothing has begun then. */
export async function patch(
  context: OperationContext,
  { to, size, strategy, image, ...limits }: PatchParams,
): Promise<MoveRecord> {
  const from = runningPrimary(context.instance);
  assertSameMajor(from.postgres, to);
  if (from.provider === 'embedded') assertNoImage(image);
  const source = await resolve(context, from, { postgres: to, image });
  const flags = [
    ...(image === undefined ? [] : [`--image ${image}`]),
    ...(size === undefined ? [] : [`--size ${size}`]),
    ...(strategy === 'standby' ? [] : [`--strategy ${strategy}`]),
  ];
  const command = ['patch', `--to ${to}`, ...flags].join(' ');
  const goal = { size: size ?? from.size, ...source };
  return move(context, { operation: 'patch', command, strategy, to: goal, limits });
}

/** What is no version at all is for the provider to tell. */
function assertSameMajor(from: string, to: string): void {
  const [major, wanted] = [majorOf(from), majorOf(to)];
  if (!/^\d+(\.\d+)?$/.test(to) || wanted === major) return;
  const details = { from, to, major: wanted };
  throw new DbproxyError(wanted > major ? 'DBP_PATCH_MAJOR' : 'DBP_PATCH_DOWNGRADE', details);
}

/** `17.9` is that version; `17` the newest one at hand, and never an older one than what runs. */
async function resolve(
  { instance, onProgress, signal }: OperationContext,
  from: EngineRecord,
  { postgres: to, image }: EngineSource,
): Promise<EngineSource> {
  if (to === from.postgres && image === undefined) return { postgres: to };
  const startedAt = new Date().toISOString();
  const wanted = { postgres: to, image: image ?? instance.record.spec.image };
  const found = await createProvider(from.provider, instance.paths).resolve(wanted, {
    signal,
    onProgress: (progress) => onProgress(fetching(progress, startedAt)),
  });
  const isWanted = to === found.postgres || image !== undefined;
  return isWanted || minorOf(found.postgres) > minorOf(from.postgres) ? found : { postgres: from.postgres };
}

const fetching = ({ step, detail }: EngineProgress, startedAt: string): OperationProgress => ({
  ...{ id: '', operation: 'patch', step: 'provision', attempt: 0, startedAt },
  detail: detail === undefined ? step : `${step}: ${detail}`,
});

const majorOf = (version: string): number => Number(version.split('.')[0]);
const minorOf = (version: string): number => Number(version.split('.')[1]);
