/**
 * A writer whose engine is not what the log says has stopped, and its engine says so to every proxy that comes. It is built again: the
 * engine is given up, and the next one is a copy of another writer's, which goes on where its own markers say.
 */
import { DbproxyError } from '../../errors/index.js';
import type { InstanceSpec } from '../api.js';
import type { Instance } from '../instance.js';
import { findProxy, stopProxy, type Proxy } from '../proxy-process.js';
import type { InstanceRecord } from '../records.js';
import { writerOf } from './names.js';
import { writerStatus } from './writer-status.js';

/** Null: its engine is what the log says, as far as is known, or it is no writer's. Throws when the proxy does not answer. */
export async function whyDiverged(spec: InstanceSpec, { rpc }: Pick<Proxy, 'rpc'>): Promise<string | null> {
  if (!writerOf(spec)) return null;
  const { why } = await writerStatus(rpc);
  return why?.kind === 'diverged' ? why.message : null;
}

/** Throws DBP_WRITER_DIVERGED. */
export async function assertAgrees({ record }: Instance, proxy: Proxy): Promise<void> {
  const { spec } = record;
  const reason = await whyDiverged(spec, proxy);
  const self = writerOf(spec);
  if (reason !== null && self)
    throw new DbproxyError('DBP_WRITER_DIVERGED', { writer: spec.name, name: self.instance, reason });
}

/** Its engine serves nobody any more. Whoever makes the instance whole afterwards copies another one, and removes it. */
export async function giveUpEngine(instance: Instance): Promise<void> {
  await stopProxy(instance.directory, await findProxy(instance.directory));
  await instance.update({ primary: null });
}

/** It had an engine and is to have another: a copy, also where it is the first of several writers. */
export const isBuiltAgain = ({ primary, engines, spec }: InstanceRecord): boolean =>
  primary === null && engines.length > 0 && writerOf(spec) !== null;
