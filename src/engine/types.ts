/**
 * What an engine is and what a provider of engines can do. An engine is one PostgreSQL server process or container.
 * Nothing here knows of proxies, sessions or operations.
 */
import { SIZE_NAMES, type SizeName } from './size-names.js';

export type EngineRole = 'primary' | 'standby' | 'writer' | 'retired';
export type ProviderKind = 'embedded' | 'docker';

/** A Unix socket `directory/.s.PGSQL.port` in a 0700 directory; the engine trusts whoever can open it. */
export interface SocketAccess {
  readonly kind: 'socket';
  readonly directory: string;
  readonly port: number;
}

/** The way in to an engine, open to nobody but us. */
export type EngineAccess =
  | SocketAccess
  /** A TCP port on loopback with SCRAM-SHA-256. */
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

export { SIZE_NAMES, type SizeName };

/** A process that is still the one we started: a pid alone may have been used again. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque token of the start time of that pid (Linux: field 22 of /proc/PID/stat, in clock ticks since boot). */
  readonly startTime: string;
}

/** An engine as it is kept on disk; enough to find it again after everything else died. */
export interface EngineRecord {
  /** `e1`, `e2`, … unique within an instance, never used twice. */
  readonly id: string;
  readonly provider: ProviderKind;
  readonly role: EngineRole;
  readonly size: SizeName;
  /** PostgreSQL version, `17.10`. */
  readonly postgres: string;
  readonly access: EngineAccess;
  /** Of a container: a way for sessions past the program of the runtime that forwards the published port, where there is one. */
  readonly socket?: SocketAccess | undefined;
  /** Superuser that initdb made, and its way in; we connect as it for our own queries. */
  readonly superuser: string;
  /** Path of its password, where the way in asks for one (TCP). */
  readonly superuserPasswordFile?: string | undefined;
  /** Directory of this engine: `engine.log`, and `data/` where it is embedded. */
  readonly directory: string;
  readonly logFile: string;
  /** `system_identifier` of the cluster (pg_control_system()): equal for a primary and its standbys. */
  readonly systemIdentifier: string;
  /** The postmaster of an embedded engine; null when it is not running, and for a container. */
  readonly process: ProcessIdentity | null;
  /** Where the engine is one. */
  readonly container?: ContainerIdentity | undefined;
}

export interface ContainerIdentity {
  readonly id: string;
  readonly name: string;
  /** As it was asked for, `postgres:17`. */
  readonly image: string;
  /** What that name meant, `sha256:…`: a name may mean something else tomorrow. */
  readonly imageId: string;
}

export interface EngineProgress {
  /** `initdb`, `start`, `backup`, `copy`, `wait-ready`, `fetch` … */
  readonly step: string;
  readonly detail?: string;
  /** 0…1, where it can be known. */
  readonly fraction?: number;
}

export interface ProvisionOptions {
  readonly id: string;
  /** Directory for this engine; is made, 0700, owned by the uid the engine runs under. */
  readonly directory: string;
  /** Short directory for its Unix socket (the whole socket path is at most 107 bytes); is made, 0700, same owner. */
  readonly socketDirectory: string;
  readonly size: SizeName;
  /** Whose engine it is to be, where several providers are at hand. */
  readonly provider?: ProviderKind | undefined;
  /** `17`, `17.10`, … the newest one at hand that matches. */
  readonly postgres: string;
  /** Of a container; `postgres:<version>` without it. */
  readonly image?: string | undefined;
  readonly superuserPassword: string;
  /** A file that holds it for as long as the engine lives: for those whose way in asks for it. */
  readonly superuserPasswordFile?: string | undefined;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: EngineProgress) => void;
}

export interface EngineUsage {
  /** CPU of the whole process tree since the last call, 100 = one core. */
  readonly cpuPercent: number;
  /** Resident memory of the process tree without counting shared memory twice, bytes. */
  readonly memoryBytes: number;
}

/** Something of its size that a running engine does not have, and has when it is started again. */
export interface PendingRestart {
  /** A setting of PostgreSQL; of a container also `/dev/shm`. */
  readonly name: string;
  /** With their units: `128MB`. */
  readonly current: string;
  readonly wanted: string;
}

/** What an engine is made of: a version, and where it is a container, the image that holds it. */
export interface EngineSource {
  /** `17.10`; `17` for the newest at hand. */
  readonly postgres: string;
  readonly image?: string | undefined;
}

/** Makes, finds and ends engines. Every method is bounded in time and throws errors of the catalogue. */
export interface EngineProvider extends EngineOperations {
  readonly kind: ProviderKind;
  /** Can engines run here, and with which PostgreSQL versions? */
  available(): Promise<{ ok: true; detail: string; versions: string[] } | { ok: false; reason: string }>;
  /** The exact version, and the image, that `wanted` means; fetched when it is not here. */
  resolve(
    wanted: EngineSource,
    options?: Pick<ProvisionOptions, 'signal' | 'onProgress'>,
  ): Promise<EngineSource>;
}

/** What is done with engines of whichever provider: each is told apart by its record. */
export interface EngineOperations {
  /** initdb, start, ready (a real query answered). On failure nothing is left running; the directory is removed. */
  create(options: ProvisionOptions): Promise<EngineRecord>;
  /** A streaming hot standby of `primary`, ready for queries. On failure nothing is left, here or on the primary. */
  createStandby(primary: EngineRecord, options: ProvisionOptions): Promise<EngineRecord>;
  /** Has the binaries of that version ready, so that a start takes no longer than the server takes. */
  prepare(
    engine: Pick<EngineRecord, 'provider' | 'postgres' | 'container'>,
    options?: Pick<ProvisionOptions, 'signal' | 'onProgress'>,
  ): Promise<void>;
  /**
   * Starts a stopped engine on its data directory, with the version and the size of the record; returns it with its new process.
   * When it is not ready within `readyWithinMs`, nothing is left running.
   */
  start(
    engine: EngineRecord,
    options?: Pick<ProvisionOptions, 'signal' | 'onProgress'> & { readonly readyWithinMs?: number },
  ): Promise<EngineRecord>;
  /**
   * Gives a running engine the limits of another size, and as many of its settings as a server takes while it runs. Nothing is
   * stopped. Idempotent. Throws DBP_ENGINE_RESIZE, DBP_ENGINE_QUERY; then some of it may have been done.
   */
  resize(engine: EngineRecord, size: SizeName): Promise<void>;
  /** What a running engine does not have of what its files, and the size of the record, say. Throws DBP_ENGINE_QUERY. */
  pendingRestart(engine: EngineRecord): Promise<PendingRestart[]>;
  /** Is it running, is it the same process, does it answer? Looks at reality, not at the record. */
  inspect(engine: EngineRecord): Promise<EngineHealth>;
  /** Does it still run? A quick look, often asked; a container runtime that does not answer counts as no. */
  isRunning(engine: EngineRecord): Promise<boolean>;
  /** `fast`: clients ended, shutdown checkpoint. `immediate`: no checkpoint. Idempotent. */
  stop(engine: EngineRecord, mode: 'fast' | 'immediate'): Promise<void>;
  /** Stops (immediately) and removes the directory and sockets, or the volume. Idempotent. */
  remove(engine: EngineRecord): Promise<void>;
  /**
   * Removes what carries the instance's mark but is none of these engines': containers, and with `all` their data too.
   * Says what it was.
   */
  sweep(keep: readonly string[], what: 'containers' | 'all'): Promise<string[]>;
  /**
   * Takes the old primary out of the configuration. The server ignores it now, and a start as primary is right even if this
   * never ran; so it belongs after the sessions have moved, not on their way. Idempotent.
   */
  afterPromotion(engine: EngineRecord): Promise<void>;
  /**
   * From now on a commit is acknowledged when that standby has it on disk, too; null: when the engine itself has it. Whoever waits for
   * one that is not needed any more goes on. Embedded engines only. Idempotent. Throws DBP_ENGINE_QUERY.
   */
  commitWith(engine: EngineRecord, standby: string | null): Promise<void>;
  /**
   * How much WAL an engine that has stopped wrote after `position` (`0/3000148`), bytes: what whoever took over there does not have.
   * Null: it cannot be told.
   */
  walAfter(engine: EngineRecord, position: string): Promise<number | null>;
  /** Every process of this engine gives way to others from now on (nice): it is about to be retired. Best effort. */
  yieldProcessor(engine: EngineRecord): void;
  usage(engine: EngineRecord): Promise<EngineUsage | null>;
}

export type EngineHealth =
  | {
      readonly state: 'running';
      readonly process: ProcessIdentity | null;
      readonly inRecovery: boolean;
      readonly timeline: number;
    }
  /** The process runs but a query was not answered within the bound. */
  | { readonly state: 'unresponsive'; readonly process: ProcessIdentity | null; readonly reason: string }
  /** `reason`: how it ended, where somebody knows: `killed by the kernel: out of memory (limit 512 MB)`. */
  | { readonly state: 'stopped'; readonly reason?: string };
