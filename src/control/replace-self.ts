/**
 * `patch --self`, as the command line does it: first the supervisor is replaced by this build's (engines and proxy are not
 * touched: it is crash-only), then that one has the proxy's process replaced.
 */
import type { HandoverRecord, OperationProgress, SelfPatchLimits } from './api.js';
import { DbproxyError } from '../errors/index.js';
import { AskedSelfPatch } from './asked-self-patch.js';
import { assertBuildRuns } from './assert-build-runs.js';
import { connectSupervisor, replaceSupervisor } from './client.js';
import { assertSomeRoom } from '../errors/no-room.js';
import { faultPoint } from '../fault-point.js';
import { InstanceDirectory } from './instance-directory.js';
import { writerOf } from './multiwriter/names.js';

/** How long a supervisor that was asked to end may take, ms. */
const EXIT_BOUND_MS = 10_000;

/** What was replaced; `supervisor`: the pids of the old one and the new one. */
export type SelfPatchResult = HandoverRecord & {
  readonly supervisor: { readonly from: { readonly pid: number }; readonly to: { readonly pid: number } };
};

/** Throws DBP_INSTANCE_NOT_RUNNING, DBP_INSTANCE_BUSY, DBP_PROXY_HANDOVER, DBP_SWITCH_ROLLED_BACK, DBP_ENV_DISK_FULL. */
export async function replaceSelf(
  name: string,
  onProgress: (progress: Pick<OperationProgress, 'step' | 'detail'>) => void,
  limits: SelfPatchLimits = {},
): Promise<SelfPatchResult> {
  const { paths } = InstanceDirectory.of(name);
  await assertSomeRoom(paths.directory);
  const asked = await AskedSelfPatch.begin(paths);
  try {
    return await replaceAsked(name, asked, onProgress, limits);
  } finally {
    await asked.end();
  }
}

async function replaceAsked(
  name: string,
  asked: AskedSelfPatch,
  onProgress: (progress: Pick<OperationProgress, 'step' | 'detail'>) => void,
  limits: SelfPatchLimits,
): Promise<SelfPatchResult> {
  await assertSomebodyElects(name);
  await assertBuildRuns((await InstanceDirectory.of(name).readInstance())?.spec.multiwriter !== undefined);
  await faultPoint('patch-self.asked');
  await asked.assertGoesOn();
  onProgress({ step: 'supervisor', detail: 'a new one looks after the instance' });
  const from = await replaceSupervisor(name, EXIT_BOUND_MS).catch((cause: unknown) => {
    const error = DbproxyError.from(cause);
    if (error.code !== 'DBP_INSTANCE_START_FAILED') throw error;
    const reason = `no supervisor looks after the instance until a command of another build starts one; ${String(error.details['reason'])}`;
    throw new DbproxyError('DBP_PROXY_HANDOVER', { reason }, { cause });
  });
  const supervisor = await connectSupervisor(name);
  try {
    await supervisor.call('ready', {});
    await faultPoint('patch-self.supervised');
    await asked.assertGoesOn();
    const record = await supervisor.call('replaceProxy', limits, {
      onProgress: (progress) => {
        void asked.end();
        onProgress(progress);
      },
    });
    const to = (await InstanceDirectory.of(name).readSupervisor())?.process.pid ?? 0;
    return { ...record, supervisor: { from: { pid: from }, to: { pid: to } } };
  } finally {
    supervisor.close();
  }
}

/**
 * Of a further writer: if it leads, another one is to, and the first one's supervisor tells it so. Not within the operation: a supervisor
 * that begins waits for those of the further writers.
 */
async function assertSomebodyElects(name: string): Promise<void> {
  const record = await InstanceDirectory.of(name).readInstance();
  const self = record && writerOf(record.spec);
  if (self && self.instance !== name) (await connectSupervisor(self.instance)).close();
}
