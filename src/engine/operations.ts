/** Engines of every provider as one: each method goes to the provider that the engine's record names. */
import { besidePrimary } from './beside.js';
import { dockerProvider, type Owner } from './providers/docker/index.js';
import { embeddedProvider, type EmbeddedOptions } from './providers/embedded/index.js';
import type { EngineOperations, EngineProvider, EngineRecord, ProviderKind } from './types.js';

export interface ProviderOptions extends EmbeddedOptions {
  /** The instance that containers belong to. */
  readonly owner: Owner;
}

export const providerOf = (kind: ProviderKind, { owner, ...embedded }: ProviderOptions): EngineProvider =>
  kind === 'docker'
    ? dockerProvider({ ...owner, cacheDirectory: embedded.cacheDirectory })
    : embeddedProvider(embedded);

/** `kind`: whose new engines are where nothing else is asked for. */
export function engineOperations(kind: ProviderKind, options: ProviderOptions): EngineOperations {
  const made = new Map<ProviderKind, EngineProvider>();
  const provider = (wanted: ProviderKind): EngineProvider => {
    const known = made.get(wanted) ?? providerOf(wanted, options);
    made.set(wanted, known);
    return known;
  };
  const of = ({ provider: wanted }: Pick<EngineRecord, 'provider'>): EngineProvider => provider(wanted);
  return {
    create: (wanted) => provider(wanted.provider ?? kind).create(wanted),
    createStandby: (primary, wanted) =>
      besidePrimary(
        primary,
        (engine) => of(engine).isRunning(engine),
        wanted.signal,
        (signal) => provider(wanted.provider ?? kind).createStandby(primary, { ...wanted, signal }),
      ),
    prepare: (engine, more) => of(engine).prepare(engine, more),
    start: (engine, more) => of(engine).start(engine, more),
    resize: (engine, size) => of(engine).resize(engine, size),
    pendingRestart: (engine) => of(engine).pendingRestart(engine),
    inspect: (engine) => of(engine).inspect(engine),
    isRunning: (engine) => of(engine).isRunning(engine),
    stop: (engine, mode) => of(engine).stop(engine, mode),
    remove: (engine) => of(engine).remove(engine),
    // Embedded engines are where their directories are; containers there may be as soon as there was one.
    sweep: (keep, what) => (made.get('docker') ?? provider(kind)).sweep(keep, what),
    afterPromotion: (engine) => of(engine).afterPromotion(engine),
    commitWith: (engine, standby) => of(engine).commitWith(engine, standby),
    walAfter: (engine, position) => of(engine).walAfter(engine, position),
    yieldProcessor: (engine) => of(engine).yieldProcessor(engine),
    usage: (engine) => of(engine).usage(engine),
  };
}
