/** `status` and `sessions` for people. */
import type {
  SessionStatus,
  StandbyStatus,
  StatusResult,
  StorageNodeStatus,
  StoreStatus,
} from '../../control/api.js';
import { clip, count, duration, percent, plural, size, withoutPassword } from '../format.js';
import type { Style } from '../style.js';
import { facts, table } from '../table.js';
import { autoscaleLine } from './autoscale.js';

const QUERY_WIDTH = 48;
const HELD_BACK = 'held back';

/** `width`: of the terminal. */
export function statusView(status: StatusResult, style: Style, width?: number): string {
  const { instance, state, proxy, operation, sessions } = status;
  const mark = state === 'running' || state === 'operating' ? style.good('●') : style.warn('●');
  const blocks = [
    `${mark} ${style.strong(instance)} ${state}`,
    facts(
      [
        ['connect', withoutPassword(status.url)],
        [
          'proxy',
          proxy
            ? `${plural(proxy.sessions, 'session')}, ${proxy.held} held${style.dim(`  ${processesOf(proxy)}, version ${proxy.version}`)}`
            : style.bad('not running'),
        ],
        ['store', status.store?.etcd ?? undefined],
        ['standby', status.standby ? standbyLine(status.standby, style) : undefined],
        ['now', operation ? operationLine(operation, style) : undefined],
        ['autoscale', autoscaleLine(status)],
        ...status.repaired.map((text, index) => [index === 0 ? 'repaired' : '', text] as const),
      ],
      style,
    ),
    enginesTable(status, style),
    ...(status.store ? [writersTable(status, style), nodesTable(status.store, style, width)] : []),
  ];
  if (sessions.length > 0) blocks.push(sessionsView(sessions, style, width));
  return blocks.join('\n\n');
}

/** `pid 12`; of several `pids 12 (5 sessions), 13 (4)`. */
const processesOf = ({ pid, processes }: NonNullable<StatusResult['proxy']>): string =>
  processes
    ? `pids ${processes.map((each) => `${each.pid} (${plural(each.sessions, 'session')})`).join(', ')}`
    : `pid ${pid}`;

export function sessionsView(sessions: readonly SessionStatus[], style: Style, width?: number): string {
  if (sessions.length === 0) return style.dim('no sessions');
  return table(
    [
      { head: 'id', align: 'right' },
      { head: 'user@database', whenNarrow: 'cut' },
      { head: 'application', whenNarrow: 'go' },
      { head: 'engine', whenNarrow: 'go' },
      { head: 'state' },
      { head: 'since', align: 'right', whenNarrow: 'go' },
      { head: 'moves', align: 'right', whenNarrow: 'go' },
      { head: 'last hold', align: 'right', whenNarrow: 'go' },
      { head: 'holds', whenNarrow: 'cut' },
      { head: 'query', whenNarrow: 'cut', paint: style.dim },
    ],
    sessions.map((session) => [
      String(session.id),
      `${session.user}@${session.database}`,
      clip(session.application, 20),
      session.engine,
      sessionState(session, style),
      duration(session.sinceMs),
      count(session.moves),
      duration(session.lastMoveMs),
      session.stateKinds.join(', '),
      clip(session.query ?? '', QUERY_WIDTH),
    ]),
    style,
    width,
  );
}

function standbyLine(
  { engine, mode, state, synchronous, lagBytes, lagMs }: StandbyStatus,
  style: Style,
): string {
  if (engine === null || state === 'missing') return style.warn('none at the moment: one is made');
  if (state !== 'streaming') return style.warn(`${engine} catches up`);
  if (synchronous) return `${engine} has every commit that was acknowledged`;
  const slow = lagMs === null ? '' : `, ${duration(lagMs)}`;
  const behind = `${engine} is ${size(lagBytes)}${slow} behind`;
  return mode === 'sync' ? style.warn(`${behind}: commits do not wait for it yet`) : behind;
}

function enginesTable({ engines }: StatusResult, style: Style): string {
  return table(
    [
      { head: 'engine' },
      { head: 'role' },
      { head: 'size' },
      { head: 'postgres' },
      { head: 'state' },
      { head: 'cpu', align: 'right' },
      { head: 'memory', align: 'right' },
      { head: 'connections', align: 'right' },
      { head: 'tps', align: 'right' },
    ],
    engines.map((engine) => [
      engine.id,
      engine.role,
      engine.size,
      engine.postgres,
      engine.state === 'running' ? style.good('running') : style.bad(engine.state),
      percent(engine.cpuPercent),
      size(engine.memoryBytes),
      count(engine.connections),
      count(engine.tps),
    ]),
    style,
  );
}

function writersTable({ writers, instance: name }: StatusResult, style: Style): string {
  const hasStopped = writers.some(({ reason }) => reason !== null);
  return table(
    [
      { head: 'writer' },
      { head: 'instance' },
      { head: 'port', align: 'right' },
      { head: 'state' },
      { head: 'engine' },
      ...(hasStopped ? [{ head: 'why' } as const] : []),
    ],
    writers.map(({ id, instance, port, state, leads, engine, reason }) => [
      `${id}${leads ? style.accent(' primary') : ''}`,
      instance,
      String(port),
      state === 'running' || state === 'operating' ? style.good(state) : style.warn(state),
      engine ?? '',
      ...(hasStopped ? [whyStopped(reason, name)] : []),
    ]),
    style,
  );
}

const whyStopped = (reason: string | null, name: string): string =>
  reason?.startsWith('diverged') ? `${reason}; dbproxy up --name ${name} builds it again` : (reason ?? '');

function nodesTable({ etcd, nodes }: StoreStatus, style: Style, width?: number): string {
  return table(
    [
      { head: etcd === null ? 'storage node' : 'etcd' },
      { head: 'state', whenNarrow: 'cut', paint: (state) => paintNodeState(state, style) },
      { head: 'records', align: 'right' },
      { head: 'syncs', align: 'right' },
      { head: 'log', align: 'right' },
      { head: 'undecided', align: 'right' },
      { head: 'epoch', align: 'right' },
    ],
    nodes.map((node) => [
      node.id,
      nodeState(node),
      count(node.position),
      count(node.syncs),
      size(node.logBytes),
      count(node.undecided),
      count(node.epoch),
    ]),
    style,
    width,
  );
}

function nodeState({ state, reason, delayMs }: StorageNodeStatus): string {
  if (delayMs !== null) return `${HELD_BACK} by ${delayMs} ms`;
  return state === 'in-service' || reason === null ? state : `${state}: ${reason}`;
}

function paintNodeState(text: string, style: Style): string {
  if (text.startsWith(HELD_BACK)) return style.warn(text);
  return text === 'in-service' ? style.good(text) : style.bad(text);
}

const operationLine = (operation: NonNullable<StatusResult['operation']>, style: Style): string =>
  `${style.accent(operation.id)}  ${operation.step}  ${style.dim(operation.detail)}`;

function sessionState({ state, txStatus }: SessionStatus, style: Style): string {
  if (state === 'held' || state === 'moving') return style.accent(state);
  if (txStatus === 'E') return style.bad(`${state} (failed)`);
  return state === 'in tx' ? style.warn(state) : state;
}
