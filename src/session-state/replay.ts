/**
 * Re-creates the state of a session on another backend: what differs, in the order of kinds, in one round trip. On a
 * standby, steps that need a primary are left out; call again after promotion, and only those are left to do.
 */
import { encode } from '../protocol/index.js';
import type { ReplyError, StateChannel } from './channel.js';
import { kindNames, kinds, type KindName, type SessionState } from './kinds.js';
import type { ReplayStep, StateKindModule } from './kind.js';
import { unnamedStatement } from './unnamed-statement.js';

export interface Replayed {
  /** The state of the target now; what was postponed is missing in it. */
  readonly state: SessionState;
  /** Steps that wait for the promotion. */
  readonly postponed: number;
  /** Named prepared statements that no longer parse, and why. */
  readonly broken: ReadonlyMap<string, ReplyError>;
  /** Settings that the target does not know, and its words. */
  readonly lost: ReadonlyMap<string, string>;
}

type Outcome = Pick<Replayed, 'broken' | 'lost'>;

export class ReplayError extends Error {
  override readonly name = 'ReplayError';
}

/**
 * Brings the backend behind `channel` from state `there` to `wanted`. `base` is its state right after login: the role goes
 * back to it first, so that every other step runs with the login user's rights. Throws ReplayError naming the step.
 */
export const replay = async (
  channel: StateChannel,
  wanted: SessionState,
  there: SessionState,
  base: SessionState,
  promoted: boolean,
): Promise<Replayed> => {
  const steps = plan(wanted, there, base);
  const now = steps.filter((step) => promoted || step.afterPromotion !== true);
  const first = await run(channel, now);
  const { lost } = first;
  const broken = await again(channel, now, first.broken, wanted, base);
  const state = withoutSettings(withoutStatements(wanted, broken), lost);
  const postponed = steps.length - now.length;
  if (postponed === 0) return { state, postponed, broken, lost };
  // What did not parse may need a temporary table that is still to come.
  return {
    state: withoutPostponed(state, wanted, there),
    postponed: postponed + broken.size,
    broken: new Map(),
    lost,
  };
};

/** Our own queries destroy the unnamed statement of a session: gives it back to the backend it stays on. */
export const restoreUnnamed = async (
  channel: StateChannel,
  state: SessionState['unnamedStatement'],
): Promise<void> => {
  await run(channel, kinds.unnamedStatement.replay?.(state, unnamedStatement.none) ?? []);
};

const stepsOf = (name: KindName, wanted: SessionState, there: SessionState): ReplayStep[] => {
  const steps = (kinds[name] as StateKindModule<unknown>).replay?.(wanted[name], there[name]) ?? [];
  // Parsed before a temporary table is there, they would be statements on the permanent one of that name.
  const early = name === 'preparedStatements' && wanted.tempObjects.definitions?.shadows === true;
  return early ? steps.map((step) => ({ ...step, afterPromotion: true })) : steps;
};

const plan = (wanted: SessionState, there: SessionState, base: SessionState): ReplayStep[] => {
  const others = kindNames.filter((name) => name !== 'role' && name !== 'unnamedStatement');
  const steps = others.flatMap((name) => stepsOf(name, wanted, there));
  const back = steps.length > 0 ? (kinds.role.replay?.(base.role, there.role) ?? []) : [];
  const role = stepsOf('role', wanted, steps.length > 0 ? base : there);
  const all = [...back, ...steps, ...role];
  // Where there is none, only steps of ours can have left one on the target.
  const none = 'kept' in wanted.unnamedStatement && wanted.unnamedStatement.kept === null;
  return none && all.length === 0 ? [] : [...all, ...stepsOf('unnamedStatement', wanted, there)];
};

/**
 * What the login user could not parse is tried again: as the role, which is set by now, because a statement that was prepared
 * under it may need its rights (USAGE of a schema); and with the search_path of the login, because the session may have
 * another one by now. Whatever the path is, a statement is analyzed anew when it is used under another one (plancache.c).
 */
const again = async (
  channel: StateChannel,
  steps: readonly ReplayStep[],
  failed: Outcome['broken'],
  wanted: SessionState,
  base: SessionState,
): Promise<Outcome['broken']> => {
  if (failed.size === 0) return failed;
  const only = (broken: Outcome['broken']): ReplayStep[] =>
    steps.filter(({ statement }) => statement !== undefined && broken.has(statement));
  const underRole = (kinds.role.replay?.(wanted.role, base.role) ?? []).length > 0;
  const asRole = underRole ? (await run(channel, only(failed))).broken : failed;
  const elsewhere = only(asRole).flatMap((step) => [DEFAULT_PATH, step, ROLLBACK]);
  const unnamed = kinds.unnamedStatement.replay?.(wanted.unnamedStatement, unnamedStatement.none) ?? [];
  const { broken } = await run(channel, [...elsewhere, ...unnamed]);
  // In the words of the path that the session has.
  return new Map([...asRole].filter(([name]) => broken.has(name)));
};

const helper = (sql: string): ReplayStep => ({
  messages: encode.query(sql),
  ends: 'query',
  what: 'search_path',
  onError: 'fail',
});
const DEFAULT_PATH = helper('begin isolation level read committed; set local search_path to default');
/** Prepared statements stay. */
const ROLLBACK = helper('rollback');

const run = async (channel: StateChannel, steps: readonly ReplayStep[]): Promise<Outcome> => {
  const broken = new Map<string, ReplyError>();
  const lost = new Map<string, string>();
  const note = ({ what, onError, setting, lostOn, statement }: ReplayStep, error: ReplyError): void => {
    if (setting !== undefined && lostOn?.includes(error.sqlstate)) lost.set(setting, error.message);
    else if (onError === 'fail') throw new ReplayError(`${what}: ${error.message} (${error.sqlstate})`);
    else if (statement !== undefined) broken.set(statement, error);
  };
  for (const part of parts(steps)) {
    const unsure: ReplayStep[] = [];
    for (const { group, error } of await send(channel, part)) {
      const [first] = group;
      if (first && group.length === 1) note(first, error);
      else unsure.push(...group);
    }
    // Nobody knows how far the group came: each for itself, instead of the one that may be there.
    const alone = unsure.map((step) => [{ ...step, messages: Buffer.concat([closed(step), step.messages]) }]);
    for (const { group, error } of await send(channel, alone)) for (const step of group) note(step, error);
  }
  return { broken, lost };
};

interface Failed {
  readonly group: readonly ReplayStep[];
  readonly error: ReplyError;
}

/** All in one round trip, each group up to a ReadyForQuery of its own; those that failed. */
const send = async (
  channel: StateChannel,
  groups: readonly (readonly ReplayStep[])[],
): Promise<readonly Failed[]> => {
  if (groups.length === 0) return [];
  const messages = groups.flatMap((group) => [
    ...group.map((step) => step.messages),
    ...(group[0]?.ends === 'sync' ? [encode.sync()] : []),
  ]);
  const replies = await channel.exchange(Buffer.concat(messages), groups.length);
  return groups.flatMap((group, i) => {
    const error = replies[i]?.error;
    return error ? [{ group, error }] : [];
  });
};

/**
 * Steps that share a Sync: prepared statements, which are many, and no work but for the transaction around each of them. Nothing
 * that follows is sent before they are known to be there.
 */
const parts = (steps: readonly ReplayStep[]): ReplayStep[][][] => {
  const all: ReplayStep[][][] = [[]];
  for (const step of steps) {
    const last = all.at(-1)?.at(-1);
    const isOne = step.statement !== undefined;
    if (isOne && last?.[0]?.statement !== undefined) last.push(step);
    else if (!isOne && (last?.length ?? 0) > 1) all.push([[step]]);
    else all.at(-1)?.push([step]);
  }
  return all;
};

const closed = ({ statement }: ReplayStep): Buffer =>
  statement === undefined ? Buffer.alloc(0) : encode.closeStatement(statement);

/** Of a kind with postponed steps nothing new is there yet; of the settings, only those are missing. */
const withoutPostponed = (state: SessionState, wanted: SessionState, there: SessionState): SessionState => {
  const waiting = kindNames.filter(
    (kind) => kind !== 'settings' && stepsOf(kind, wanted, there).some((step) => step.afterPromotion),
  );
  const kept = Object.fromEntries(waiting.map((kind) => [kind, there[kind]])) as Partial<SessionState>;
  return { ...state, ...kept, settings: withoutPostponedSettings(state, there) };
};

const withoutPostponedSettings = (wanted: SessionState, there: SessionState): SessionState['settings'] => {
  const values = new Map(wanted.settings.values);
  for (const name of values.keys()) {
    const postponed = kinds.settings.replay?.(
      { ...wanted.settings, values: new Map([...values].filter(([other]) => other === name)) },
      { ...there.settings, values: new Map() },
    );
    if (!postponed?.some((step) => step.afterPromotion)) continue;
    const before = there.settings.values.get(name);
    if (before) values.set(name, before);
    else values.delete(name);
  }
  return { ...wanted.settings, values };
};

const withoutStatements = (state: SessionState, names: ReadonlyMap<string, unknown>): SessionState => {
  if (names.size === 0) return state;
  const byName = new Map([...state.preparedStatements.byName].filter(([name]) => !names.has(name)));
  return { ...state, preparedStatements: { ...state.preparedStatements, byName } };
};

/** They are tried again with every replay, so that each one tells all that is lost. */
const withoutSettings = (state: SessionState, names: ReadonlyMap<string, unknown>): SessionState => {
  if (names.size === 0) return state;
  const known = <T>(values: ReadonlyMap<string, T>): ReadonlyMap<string, T> =>
    new Map([...values].filter(([name]) => !names.has(name)));
  const { settings, customSettings } = state;
  return {
    ...state,
    settings: { ...settings, values: known(settings.values) },
    customSettings: { ...customSettings, values: known(customSettings.values) },
  };
};
