/** The ordered list of all kinds of session state. The order is the order of replay. */
import type { Role } from './role.js';
import type { Settings } from './settings.js';
import type { PreparedStatements } from './prepared-statements.js';
import type { UnnamedStatement } from './unnamed-statement.js';
import type { StateKindModule } from './kind.js';
import { advisoryLocks, type AdvisoryLocks } from './advisory-locks.js';
import { customSettings, type CustomSettings } from './custom-settings.js';
import { extensionMemory, type ExtensionMemory } from './extension-memory.js';
import { heldCursors, type HeldCursors } from './held-cursors.js';
import { listen } from './listen.js';
import { loadedLibraries, type LoadedLibraries } from './loaded-libraries.js';
import { preparedStatements } from './prepared-statements.js';
import { role } from './role.js';
import { sequences, type Sequences } from './sequences.js';
import { settings } from './settings.js';
import { tempObjects, type TempObjects } from './temp-objects.js';
import { unnamedStatement } from './unnamed-statement.js';
import { withoutReplay } from './without-replay.js';

export interface SessionState {
  readonly loadedLibraries: LoadedLibraries;
  readonly settings: Settings;
  readonly customSettings: CustomSettings;
  readonly tempObjects: TempObjects;
  readonly sequences: Sequences;
  readonly preparedStatements: PreparedStatements;
  readonly heldCursors: HeldCursors;
  readonly advisoryLocks: AdvisoryLocks;
  readonly listen: readonly string[];
  readonly extensionMemory: ExtensionMemory;
  readonly role: Role;
  readonly unnamedStatement: UnnamedStatement;
}

export type KindName = keyof SessionState;

type Kinds = { readonly [K in KindName]: StateKindModule<SessionState[K]> };

export const kinds = withoutReplay<Kinds>({
  loadedLibraries,
  settings,
  customSettings,
  tempObjects,
  sequences,
  preparedStatements,
  heldCursors,
  advisoryLocks,
  listen,
  extensionMemory,
  role,
  unnamedStatement,
});

/** In the order of replay. */
export const kindNames = Object.keys(kinds) as KindName[];

export const emptyState = Object.fromEntries(
  kindNames.map((name) => [name, kinds[name].none]),
) as unknown as SessionState;
