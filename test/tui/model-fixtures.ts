/** Models of an instance in the middle of its life, made by the messages that make them in reality. */
import type {
  JudgedTransaction,
  LogEvent,
  SessionResult,
  SessionStatus,
  StatusResult,
  Verdict,
} from '../../src/control/api.js';
import { newModel, update, type Message, type Model } from '../../src/tui/model.js';

export const NOW_MS = Date.parse('2026-03-01T12:00:00.000Z');

export function session(id: number, change: Partial<SessionStatus> = {}): SessionStatus {
  return {
    ...{
      id,
      user: 'app',
      database: 'shop',
      application: 'checkout',
      engine: 'e1',
      state: 'idle',
      txStatus: 'I',
    },
    ...{ backendPid: 4_000 + id, stateKinds: [], moves: 0, lastMoveMs: null, heldMs: null },
    ...{
      connectedAt: '2026-03-01T11:00:00.000Z',
      sinceMs: 1_500,
      client: '127.0.0.1:50000',
      query: 'select 1',
    },
    ...change,
  };
}

export function status(sessions: readonly SessionStatus[], change: Partial<StatusResult> = {}): StatusResult {
  const measured = {
    state: 'running',
    cpuPercent: 42,
    memoryBytes: 120 * 1024 ** 2,
    connections: 12,
    tps: 400,
  } as const;
  return {
    ...{ schema: 'dbproxy.status/1', instance: 'default', state: 'running' },
    url: 'postgres://postgres:secret@127.0.0.1:6432/postgres',
    engines: [
      {
        id: 'e1',
        role: 'primary',
        size: 'small',
        postgres: '17.10',
        pid: 100,
        provider: 'embedded',
        container: null,
        ...measured,
      },
    ],
    proxy: { pid: 200, version: '0.1.0', generation: 1, sessions: sessions.length, held: 0 },
    supervisor: { pid: 300 },
    sessions,
    operation: null,
    standby: null,
    autoscale: null,
    writers: [],
    store: null,
    repaired: [],
    ...change,
  };
}

const event = (
  seq: number,
  secondsAgo: number,
  type: string,
  message: string,
  data?: LogEvent['data'],
): LogEvent => ({
  ...{ seq, type, message, at: new Date(NOW_MS - secondsAgo * 1_000).toISOString() },
  ...(data ? { data } : {}),
});

const step = (seq: number, secondsAgo: number, name: string): LogEvent =>
  event(seq, secondsAgo, 'operation.step', `scale-3: ${name}: as it goes`, {
    operation: 'scale-3',
    step: name,
    attempt: 1,
  });

/** The events of a switch up to the phase in which sessions move. */
export const EVENTS: readonly LogEvent[] = [
  event(1, 60, 'instance.up', 'instance default is ready on port 6432'),
  event(2, 3, 'operation.started', 'scale-3: e1 (small, PostgreSQL 17.10) → e2 (large, PostgreSQL 17.10)', {
    operation: 'scale-3',
  }),
  ...[step(3, 3, 'provision'), step(4, 1.2, 'warm'), step(5, 0.4, 'drain'), step(6, 0.05, 'fence')],
  ...[step(7, 0.04, 'catchup'), step(8, 0.03, 'promote'), step(9, 0.01, 'move')],
];

const judged = (writer: string, change: Partial<JudgedTransaction>): JudgedTransaction => ({
  ...{ lsn: 16_390, writer, outcome: 'commit', reason: 'it comes first by the policy', reasonKind: 'policy' },
  ...{ accepted: ['s1', 's2'], heard: ['s1', 's2', 's3'], refusals: [], about: null, client: null },
  ...change,
});

const verdict = (slot: number, change: Partial<Verdict> = {}): Verdict => ({
  ...{
    at: new Date(NOW_MS - 1_000).toISOString(),
    primary: 'w1',
    epoch: 3,
    slot,
    asked: 16_391,
    split: true,
  },
  transactions: [
    judged('w1', {}),
    judged('w2', {
      ...{ lsn: 16_391, outcome: 'abort', accepted: ['s3'], reasonKind: 'loses' },
      reason: 'it collides with 16390 of w1, which commits',
      about: 'update of accounts (id)=(\u001b[2J1)',
      client: {
        sqlstate: '40001',
        message: 'could not serialize access due to concurrent update',
        detail: '',
      },
    }),
  ],
  ...change,
});

/** Two writers that have collided: more often than a low screen has room for. */
export const collided = (writers = 2): Model => {
  const store: StatusResult['store'] = {
    ...{ etcd: null, quorums: { nodes: 3, fast: 3, classic: 2 }, policy: 'first', epoch: 3, nodes: [] },
  };
  const events = Array.from({ length: 5 }, (_, index) =>
    event(index + 1, 1, 'writer.verdict', `verdict ${index + 1} of w1`, {
      ...verdict(index + 1, { split: index % 2 === 1 }),
    }),
  );
  return play(
    { type: 'status', status: status([], writers > 1 ? { store } : {}), atMs: NOW_MS },
    ...(writers > 1 ? [{ type: 'events' as const, events }] : []),
  );
};

/** A switch with its sessions held, moving and moved; names and queries that would like to move the cursor. */
export function switching(): Model {
  const before = Array.from({ length: 12 }, (_, index) =>
    session(index + 1, {
      state: index % 3 === 0 ? 'active' : 'idle',
      stateKinds: index === 1 ? ['settings', 'tempObjects'] : [],
    }),
  );
  const during = before.map((each, index) =>
    index < 3
      ? { ...each, engine: 'e2', moves: 1, lastMoveMs: 12 + index * 9 }
      : index < 6
        ? { ...each, state: 'moving' as const, heldMs: 31 }
        : index < 10
          ? { ...each, state: 'held' as const, heldMs: 31 }
          : { ...each, state: 'in tx' as const, txStatus: 'T' as const, sinceMs: 240 },
  );
  const hostile = session(13, {
    application: 'ap\u001b[31mp\u0007',
    query:
      "select 'naïve 漢字 🐘'; -- \u001b]0;title\u0007 \u202e and\nmore lines of it, until it is longer than any screen is wide: ".repeat(
        3,
      ),
  });
  return play(
    { type: 'status', status: status(before), atMs: NOW_MS - 2_000 },
    { type: 'events', events: EVENTS },
    { type: 'status', status: status([...during, hostile], { state: 'operating' }), atMs: NOW_MS },
  );
}

export const quiet = (): Model =>
  play({ type: 'status', status: status([session(1), session(2)]), atMs: NOW_MS });

/** High for a while, and not yet for long enough. */
export const autoscaling = (): Model => {
  const autoscale = {
    ...({ enabled: true, min: 'small', max: 'large', forMs: 30_000, coolDownMs: 0, failures: 0 } as const),
    load: { cpuPercent: 163.2, activePerCpu: 12, queued: 11 },
    beyond: { direction: 'up', forMs: 12_300 },
  } as const;
  return play({ type: 'status', status: status([session(1)], { autoscale }), atMs: NOW_MS });
};

export const play = (...messages: readonly Message[]): Model =>
  messages.reduce(update, newModel('default', 250, ['scale', 'patch']));

export const DETAIL: SessionResult = {
  ...{
    schema: 'dbproxy.session/1',
    instance: 'default',
    session: session(2),
    waitsFor: null,
    transactionMs: null,
  },
  report: {
    ...{
      id: 2,
      user: 'app',
      database: 'shop',
      application: 'checkout',
      movable: true,
      reasons: [],
      looked: true,
    },
    ...{ state: [], estimatedMs: 3.2, estimatedBytes: 81_920 },
  },
  holds: [
    { kind: 'settings', name: 'work_mem', detail: '64MB', bytes: null },
    { kind: 'preparedStatements', name: 'by_id', detail: 'select * from items where id = $1', bytes: null },
    { kind: 'tempObjects', name: 'cart', detail: 'table', bytes: 81_920 },
    { kind: 'heldCursors', name: 'c', detail: 'scroll, 10 rows', bytes: null },
    { kind: 'advisoryLocks', name: '7', detail: 'exclusive', bytes: null },
    { kind: 'listen', name: 'orders', detail: '', bytes: null },
  ],
  locks: [{ mode: 'ExclusiveLock', on: 'advisory', granted: true }],
  moves: [{ at: '2026-03-01T11:30:00.000Z', from: 'e1', to: 'e2', heldMs: 21.5 }],
};
