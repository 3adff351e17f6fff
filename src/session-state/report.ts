/** What a session holds, in words and numbers: for `check`, for the record of a switch, and to decide whether it can move. */
import { kindNames, kinds, type KindName, type SessionState } from './kinds.js';
import type { StateKindModule } from './kind.js';

export interface KindReport {
  readonly kind: KindName;
  readonly count: number;
  readonly movable: boolean;
  readonly detail: string;
}

/** Every kind the session holds something of. */
export const report = (state: SessionState): KindReport[] =>
  kindNames.flatMap((kind) => {
    const module = kinds[kind] as StateKindModule<unknown>;
    const summary = module.summarize(state[kind]);
    if (!summary) return [];
    const tooLong = kind === 'unnamedStatement' && 'tooLong' in state.unnamedStatement;
    const movable = module.replay !== null && !tooLong;
    return [{ kind, movable, ...summary }];
  });

export const stateKinds = (state: SessionState): KindName[] => report(state).map(({ kind }) => kind);

/** What stands in the way of a move. */
export const unmovable = (state: SessionState): KindReport[] =>
  report(state).filter(({ movable }) => !movable);

/** Counts for the record of a switch (`stateMoved`). */
export const countMoved = (state: SessionState): { settings: number; preparedStatements: number } => ({
  settings: [...state.settings.values.values()].filter(({ own }) => own).length + state.customSettings.size,
  preparedStatements: state.preparedStatements.byName.size,
});
