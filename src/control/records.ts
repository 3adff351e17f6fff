/** The forms of the files in an instance directory, as zod schemas: what is read from disk is checked, never trusted. */
import { z } from 'zod';
import { SIZE_NAMES, type EngineRecord } from '../engine/types.js';

const processIdentity = z.object({ pid: z.int().positive(), startTime: z.string() });
const providerKind = z.enum(['embedded', 'docker']);

const engineRecord = z.object({
  id: z.string(),
  provider: providerKind,
  role: z.enum(['primary', 'standby', 'writer', 'retired']),
  size: z.enum(SIZE_NAMES),
  postgres: z.string(),
  access: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('socket'), directory: z.string(), port: z.int() }),
    z.object({ kind: z.literal('tcp'), host: z.string(), port: z.int() }),
  ]),
  superuser: z.string(),
  directory: z.string(),
  logFile: z.string(),
  systemIdentifier: z.string(),
  process: processIdentity.nullable(),
}) satisfies z.ZodType<EngineRecord>;

const instanceSpec = z.object({
  name: z.string(),
  provider: providerKind,
  providerReason: z.string(),
  postgres: z.string(),
  size: z.enum(SIZE_NAMES),
  host: z.string(),
  port: z.int().min(1).max(65535),
  maxSessions: z.int().positive(),
  owner: processIdentity.optional(),
});

/** `instance.json` */
export const instanceRecord = z.object({
  schema: z.literal('dbproxy.instance/1'),
  spec: instanceSpec,
  /** What the user asked for last: a supervisor that died is started again only while this says `running`. */
  wanted: z.enum(['running', 'stopped']),
  /** Id of the engine that serves the sessions; null until there is one. */
  primary: z.string().nullable(),
  nextEngine: z.int().positive(),
  nextOperation: z.int().positive(),
  engines: z.array(engineRecord),
});
export type InstanceRecord = z.infer<typeof instanceRecord>;

const engineKind = z.object({ size: z.enum(SIZE_NAMES), postgres: z.string() });

/** `operation.json`: exists only while an operation runs, or after its supervisor died in the middle of it. */
export const operationRecord = z.object({
  schema: z.literal('dbproxy.operation/1'),
  id: z.string(),
  operation: z.enum(['scale', 'patch']),
  /** The step about to be done; a name of `SwitchoverStep`. */
  step: z.string(),
  detail: z.string(),
  attempt: z.int(),
  startedAt: z.string(),
  from: z.string(),
  target: z.string(),
  /** In place, `target` is `from`: what it was before, and what it is to be. */
  inPlace: z.object({ before: engineKind, to: engineKind }).optional(),
});
export type OperationRecord = z.infer<typeof operationRecord>;

/** `supervisor.json` and `proxy.json` */
export const processRecord = z.object({ process: processIdentity, version: z.string() });
export type ProcessRecord = z.infer<typeof processRecord>;

export const proxyRecord = processRecord.extend({ generation: z.int() });
export type ProxyRecord = z.infer<typeof proxyRecord>;
