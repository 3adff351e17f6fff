/** One answer out of those of several proxy processes. */
import { isDeepStrictEqual } from 'node:util';
import { holdTimes } from '../../proxy/hold-times.js';
import type {
  EngineRoute,
  GateState,
  HoldResult,
  MoveResult,
  ProxyStatus,
  StateMoved,
} from '../../proxy/control-api.js';
import { NOTHING_MOVED } from '../../switchover/index.js';

/** Ids, by the place of the process that has them. */
export type SessionsOf = ReadonlyMap<number, readonly number[]>;

/** In the order of a switch: where one of them has come to, the others are going. */
const GATE_STATES: readonly GateState[] = ['open', 'holding', 'held', 'committed', 'moving'];

export function statusOf(members: readonly ProxyStatus[]): ProxyStatus {
  const [first] = members;
  if (!first) throw new Error('the status of nobody');
  const furthest = Math.max(...members.map(({ gate }) => GATE_STATES.indexOf(gate)));
  const total = (of: (member: ProxyStatus) => number): number =>
    members.reduce((all, member) => all + of(member), 0);
  return {
    ...first,
    generation: Math.max(...members.map(({ generation }) => generation)),
    gate: GATE_STATES[furthest] ?? 'open',
    primary: common(members.map(({ primary }) => primary)),
    target: members.find(({ target }) => target !== null)?.target ?? null,
    sessions: total(({ sessions }) => sessions),
    held: total(({ held }) => held),
    ...(members.some(({ waitsForEngine }) => waitsForEngine) ? { waitsForEngine: true } : {}),
    fastPath: members.every(({ fastPath }) => fastPath),
    totals: {
      sessions: total(({ totals }) => totals.sessions),
      // Each moves with all others.
      moves: Math.max(...members.map(({ totals }) => totals.moves)),
      failedLogins: total(({ totals }) => totals.failedLogins),
    },
    ...(first.tunnels === undefined ? {} : { tunnels: total(({ tunnels = 0 }) => tunnels) }),
    members,
  };
}

/** Null: they do not all have the same. */
const common = ([first = null, ...others]: readonly (EngineRoute | null)[]): EngineRoute | null =>
  others.every((other) => isDeepStrictEqual(other, first)) ? first : null;

export const holdOf = (members: readonly HoldResult[]): HoldResult => {
  const canceled = members.flatMap((member) => member.canceled ?? []);
  return {
    held: members.every(({ held }) => held),
    sessions: members.reduce((all, { sessions }) => all + sessions, 0),
    waitedMs: Math.max(...members.map(({ waitedMs }) => waitedMs)),
    blockers: members.flatMap(({ blockers }) => blockers),
    ...(canceled.length > 0 ? { canceled } : {}),
  };
};

/** `before`: sessions of a process that has died since have failed to move. */
export function moveOf(moves: ReadonlyMap<number, MoveResult>, before: SessionsOf): MoveResult {
  const died = [...before].flatMap(([index, ids]) => (moves.has(index) ? [] : ids));
  const reason = 'its proxy process died during the move';
  const all = [...moves.values()];
  const total = (of: (move: MoveResult) => number): number => all.reduce((sum, move) => sum + of(move), 0);
  const heldMs = all.flatMap((move) => move.heldMs ?? []);
  return {
    total: total((move) => move.total) + died.length,
    moved: total(({ moved }) => moved),
    kept: total(({ kept }) => kept),
    failed: [...all.flatMap(({ failed }) => failed), ...died.map((id) => ({ id, reason }))],
    dropped: total(({ dropped }) => dropped),
    lost: all.flatMap(({ lost }) => lost),
    holdMs: holdTimes(heldMs),
    stateMoved: all.reduce((sum, { stateMoved }) => added(sum, stateMoved), NOTHING_MOVED.stateMoved),
  };
}

const added = (a: StateMoved, b: StateMoved): StateMoved => {
  const kinds = Object.keys(a) as (keyof StateMoved)[];
  return Object.fromEntries(kinds.map((kind) => [kind, a[kind] + b[kind]])) as unknown as StateMoved;
};
