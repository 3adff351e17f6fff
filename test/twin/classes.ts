/** The classes of commands, by name, and the random walks of a session that are made of them. */
import fc from 'fast-check';
import type { Command, Step } from './command.js';
import { cursors, sequences } from './cursor-commands.js';
import { discards, loads, roles, settings } from './settings-commands.js';
import { advisoryLocks, channels } from './shared-commands.js';
import { temporary } from './temp-commands.js';
import { failures, prepared, several, transactions } from './statement-commands.js';

const classes = {
  settings: { weight: 6, arbitrary: settings },
  roles: { weight: 2, arbitrary: roles },
  prepared: { weight: 6, arbitrary: prepared },
  cursors: { weight: 6, arbitrary: cursors },
  sequences: { weight: 4, arbitrary: sequences },
  loads: { weight: 1, arbitrary: loads },
  temporary: { weight: 14, arbitrary: temporary },
  channels: { weight: 2, arbitrary: channels },
  advisoryLocks: { weight: 2, arbitrary: advisoryLocks },
  transactions: { weight: 3, arbitrary: transactions },
  several: { weight: 1, arbitrary: several },
  failures: { weight: 1, arbitrary: failures },
  discards: { weight: 1, arbitrary: discards },
} as const satisfies Readonly<Record<string, { weight: number; arbitrary: fc.Arbitrary<Command> }>>;

export type ClassName = keyof typeof classes;
export const classNames = Object.keys(classes) as ClassName[];
export interface Walk {
  /** Who logs in: `boss` is a superuser. */
  readonly user: 'app' | 'boss';
  readonly steps: readonly Step[];
}

/** One step in eight begins or ends a move. */
export const walks = (names: readonly ClassName[], maxSteps: number): fc.Arbitrary<Walk> => {
  const commands = fc.oneof(...names.map((name) => classes[name]));
  const points = fc.constantFrom<Step>('warm', 'move', 'move');
  const step = fc.oneof({ weight: 7, arbitrary: commands }, { weight: 1, arbitrary: points });
  return fc.record({
    user: fc.constantFrom('app', 'app', 'boss'),
    steps: fc.array<Step>(step, { minLength: 1, maxLength: maxSteps, size: 'max' }),
  });
};
