/** What the proxy of a writer is told when another process is to take its place: numbers that nobody ever had. */
import type { WriterHandover } from '../../proxy/control-api.js';
import type { InstanceSpec, SelfPatchLimits } from '../api.js';
import { InstanceDirectory } from '../instance-directory.js';
import { MOVE_DEFAULTS } from '../move-defaults.js';
import { writerOf } from './names.js';
import { StoreDirectory } from './store-directory.js';

/** Null: it is the only writer. `epoch`: what it is to lead with; null: it does not lead. */
export async function writerHandover(
  spec: InstanceSpec,
  epoch: number | null,
  limits: SelfPatchLimits,
): Promise<WriterHandover | null> {
  const self = writerOf(spec);
  if (!self) return null;
  const store = new StoreDirectory(InstanceDirectory.of(self.instance).paths);
  const incarnation = await store.nextIncarnation(self.writer);
  const spare = await store.nextIncarnation(self.writer);
  const { holdBudgetMs, deadlineMs, onTimeout } = { ...MOVE_DEFAULTS, ...limits };
  return { incarnation, spare, epoch, holdBudgetMs, deadlineMs, onTimeout };
}
