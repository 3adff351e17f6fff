/**
 * `patch`: every session to another minor version of PostgreSQL, and to another size in the same step if that is wanted. The
 * binaries are fetched, and have run, before anything begins.
 */
import type { EngineProgress } from '../../engine/types.js';
import { DbproxyError } from '../../errors/index.js';
import type { MoveRecord, OperationProgress, PatchParams } from '../api.js';
import { ensureEngine } from '../provider.js';
import { move, runningPrimary, type OperationContext } from './move.js';

/** Throws DBP_PATCH_MAJOR, DBP_PATCH_DOWNGRADE, and what `ensureEngine` throws; nothing has begun then. */
export async function patch(
  context: OperationContext,
  { to, size, strategy, ...limits }: PatchParams,
): Promise<MoveRecord> {
  const from = runningPrimary(context.instance);
  assertSameMajor(from.postgres, to);
  const postgres = await resolve(context, from.postgres, to);
  const flags = [
    ...(size === undefined ? [] : [`--size ${size}`]),
    ...(strategy === 'standby' ? [] : [`--strategy ${strategy}`]),
  ];
  const command = ['patch', `--to ${to}`, ...flags].join(' ');
  const goal = { size: size ?? from.size, postgres };
  return move(context, { operation: 'patch', command, strategy, to: goal, limits });
}

/** What is no version at all is for `ensureEngine` to tell. */
function assertSameMajor(from: string, to: string): void {
  const [major, wanted] = [majorOf(from), majorOf(to)];
  if (!/^\d+(\.\d+)?$/.test(to) || wanted === major) return;
  const details = { from, to, major: wanted };
  throw new DbproxyError(wanted > major ? 'DBP_PATCH_MAJOR' : 'DBP_PATCH_DOWNGRADE', details);
}

/** `17.9` is that version; `17` the newest one at hand, and never an older one than what runs. */
async function resolve({ onProgress, signal }: OperationContext, from: string, to: string): Promise<string> {
  if (to === from) return from;
  const startedAt = new Date().toISOString();
  const { postgres } = await ensureEngine(to, {
    signal,
    onProgress: (progress) => onProgress(fetching(progress, startedAt)),
  });
  return to === postgres || minorOf(postgres) > minorOf(from) ? postgres : from;
}

const fetching = ({ step, detail }: EngineProgress, startedAt: string): OperationProgress => ({
  ...{ id: '', operation: 'patch', step: 'provision', attempt: 0, startedAt },
  detail: detail === undefined ? step : `${step}: ${detail}`,
});

const majorOf = (version: string): number => Number(version.split('.')[0]);
const minorOf = (version: string): number => Number(version.split('.')[1]);
