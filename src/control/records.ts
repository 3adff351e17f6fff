/** The forms of the files in an instance directory, as zod schemas: what is read from disk is checked, never trusted. */
import { z } from 'zod';
import { SIZE_NAMES, type EngineRecord } from '../engine/types.js';
import { POLICIES } from '../multiwriter/protocol/index.js';
import type { AutoscalePolicy, LastDecision } from './autoscale/types.js';
import { MAX_PROXIES } from './paths.js';

const processIdentity = z.object({ pid: z.int().positive(), startTime: z.string() });
const providerKind = z.enum(['embedded', 'docker']);
const size = z.enum(SIZE_NAMES);

const containerIdentity = z.object({
  id: z.string(),
  name: z.string(),
  image: z.string(),
  imageId: z.string(),
});

const socketAccess = z.object({ kind: z.literal('socket'), directory: z.string(), port: z.int() });

const engineRecord = z.object({
  id: z.string(),
  provider: providerKind,
  role: z.enum(['primary', 'standby', 'writer', 'retired']),
  size,
  postgres: z.string(),
  access: z.discriminatedUnion('kind', [
    socketAccess,
    z.object({ kind: z.literal('tcp'), host: z.string(), port: z.int() }),
  ]),
  socket: socketAccess.optional(),
  superuser: z.string(),
  superuserPasswordFile: z.string().optional(),
  directory: z.string(),
  logFile: z.string(),
  systemIdentifier: z.string(),
  process: processIdentity.nullable(),
  container: containerIdentity.optional(),
}) satisfies z.ZodType<EngineRecord>;

const instanceSpec = z.object({
  name: z.string(),
  provider: providerKind,
  providerReason: z.string(),
  postgres: z.string(),
  image: z.string().optional(),
  size,
  host: z.string(),
  port: z.int().min(1).max(65535),
  maxSessions: z.int().positive(),
  proxies: z.int().min(2).max(MAX_PROXIES).optional(),
  tls: z
    .object({
      mode: z.enum(['on', 'required']),
      certificateFile: z.string().optional(),
      keyFile: z.string().optional(),
      rootFile: z.string().optional(),
      verify: z.enum(['full', 'ca']).optional(),
    })
    .optional(),
  metricsPort: z.int().min(1).max(65535).optional(),
  standby: z.enum(['async', 'sync']).optional(),
  owner: processIdentity.optional(),
  multiwriter: z
    .object({
      writers: z.int().min(2),
      store: z.string().optional(),
      quorums: z.object({ nodes: z.int(), fast: z.int(), classic: z.int() }),
      policy: z.enum(POLICIES),
    })
    .optional(),
  writerOf: z.object({ instance: z.string(), writer: z.int().min(2) }).optional(),
});

/** `instance.json` */
export const instanceRecord = z.object({
  schema: z.literal('dbproxy.instance/1'),
  spec: instanceSpec,
  /** What the user asked for last: a supervisor that died is started again only while this says `running`. */
  wanted: z.enum(['running', 'stopped']),
  /** Id of the engine that serves the sessions; null until there is one. */
  primary: z.string().nullable(),
  /** The engine that takes over from the primary `of`; `sync`: it has every commit that was acknowledged. */
  standby: z.object({ engine: z.string(), of: z.string(), sync: z.boolean() }).optional(),
  /** Engines that died with commits that no other one has: their data stays until the next `down`. */
  kept: z.array(z.string()).optional(),
  /** A failover whose new primary is on record, and of which nobody was told yet: who finds it goes on from there. */
  failover: z
    .object({
      operation: z.string(),
      from: z.string(),
      sync: z.boolean(),
      /** To be kept again, once it is known that nothing is lost. */
      keptBefore: z.array(z.string()).optional(),
      phasesMs: z.object({ fence: z.number(), promote: z.number() }),
    })
    .optional(),
  nextEngine: z.int().positive(),
  nextOperation: z.int().positive(),
  engines: z.array(engineRecord),
});
export type InstanceRecord = z.infer<typeof instanceRecord>;

const engineKind = z.object({ size, postgres: z.string(), container: containerIdentity.optional() });

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
  /** Whose engine the target is to be: it may not be on record yet. */
  provider: providerKind.optional(),
  /** In place, `target` is `from`: what it was before, and what it is to be. */
  inPlace: z.object({ before: engineKind, to: engineKind }).optional(),
  /** A resize, `target` is `from` too: the size that it is being brought to, and what the operation has come to then. */
  resize: z.object({ size, outcome: z.enum(['completed', 'rolled-back']) }).optional(),
});
export type OperationRecord = z.infer<typeof operationRecord>;

const autoscalePolicy = z.object({
  min: size,
  max: size,
  cpuAbovePercent: z.number(),
  cpuBelowPercent: z.number(),
  activeAbove: z.number().nullable(),
  queueAbove: z.number().nullable(),
  forMs: z.number().positive(),
  cooldownMs: z.number().positive(),
}) satisfies z.ZodType<AutoscalePolicy>;

const lastDecision = z.object({
  at: z.string(),
  decision: z.enum(['scale', 'stay']),
  direction: z.enum(['up', 'down']),
  from: size,
  to: size.nullable(),
  why: z.enum(['bound', 'machine', 'busy', 'cool-down']).nullable(),
  message: z.string(),
  outcome: z.enum(['completed', 'rolled-back']).nullable(),
}) satisfies z.ZodType<LastDecision>;

/** `autoscaler.json`: exists once somebody has asked for it. */
export const autoscaleRecord = z.object({
  schema: z.literal('dbproxy.autoscaler/1'),
  enabled: z.boolean(),
  policy: autoscalePolicy,
  /** As it was seen last; null before the first look. */
  size: size.nullable(),
  /** When the cool-down began: with the last change of size, or the last attempt at one; null: there was none. */
  restsSince: z.string().nullable(),
  /** Attempts in a row that have failed, the one under way included. */
  failures: z.int().nonnegative(),
  last: lastDecision.nullable(),
});
export type AutoscaleRecord = z.infer<typeof autoscaleRecord>;

/** `supervisor.json` and `proxy.json` */
export const processRecord = z.object({ process: processIdentity, version: z.string() });
export type ProcessRecord = z.infer<typeof processRecord>;

export const proxyRecord = processRecord.extend({
  generation: z.int(),
  /** Processes that were replaced and that TLS connections still end in. */
  tunnels: z.array(processIdentity).optional(),
});
export type ProxyRecord = z.infer<typeof proxyRecord>;

/** `store/store.json`: what the writers of an instance share. */
export const storeRecord = z.object({
  schema: z.literal('dbproxy.store/1'),
  /** Names this store among all that ever were. */
  id: z.string(),
  /** All nodes have been there once: from now on one without its log has lost it. */
  founded: z.boolean(),
  /** The last one that was given out. */
  epoch: z.int().nonnegative(),
});
export type StoreRecord = z.infer<typeof storeRecord>;

/** `store/incarnation-2.json`: the last one of that writer. */
export const incarnationRecord = z.object({
  schema: z.literal('dbproxy.incarnation/1'),
  incarnation: z.int().positive(),
});
