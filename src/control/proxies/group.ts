/**
 * Several proxy processes that serve one port, asked as if they were one: what the supervisor and the switchover ask of
 * "the proxy" goes to each of them, and one answer comes back.
 *
 *   hold     all hold ──▶ all seal          one that does not come to it: all release
 *   commit   all prepare ──▶ all commit     the decision is one for all (src/proxy/group/decision.ts)
 *   move     all move; nobody's client goes on before everybody's shared state has moved: they ask each other
 *
 * Before the decision a process that does not answer fails the call, and the switchover rolls back. After it, and for all that
 * only looks, a process that has died is left out: its sessions have died with it.
 */
import { randomBytes } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { DbproxyError } from '../../errors/index.js';
import { faultPoint } from '../../fault-point.js';
import type { CommitResult, ProxyApi } from '../../proxy/control-api.js';
import type { CallOptions, Rpc } from '../../rpc/index.js';
import { holdOf, moveOf, statusOf, type SessionsOf } from './merge.js';

interface Call<M extends keyof ProxyApi> {
  readonly params: ProxyApi[M]['params'];
  readonly options: CallOptions<ProgressOf<M>>;
}
type ProgressOf<M extends keyof ProxyApi> = ProxyApi[M] extends { progress: infer P } ? P : never;
type Answers = {
  readonly [M in keyof ProxyApi]?: (group: ProxyGroup, call: Call<M>) => Promise<ProxyApi[M]['result']>;
};

export class ProxyGroup implements Rpc<ProxyApi> {
  /** By number; null: it does not run. */
  readonly #members: readonly (Rpc<ProxyApi> | null)[];
  readonly #gone = new Set<Rpc<ProxyApi>>();
  readonly #directory: string;
  /** Ids of the sessions of each, by its place, when they were last asked for. */
  #sessions: SessionsOf = new Map();
  /** Resolves when the connection to any of them has ended. */
  readonly closed: Promise<void>;

  /** `members`: in their order; null: it does not run. `directory`: of their control sockets. */
  constructor(members: readonly (Rpc<ProxyApi> | null)[], directory: string) {
    this.#members = members;
    this.#directory = directory;
    const running = members.filter((member) => member !== null);
    for (const member of running) void member.closed.then(() => this.#gone.add(member));
    this.closed = Promise.race(running.map(({ closed }) => closed));
  }

  call<M extends keyof ProxyApi>(
    method: M,
    params: ProxyApi[M]['params'],
    options: CallOptions<ProgressOf<M>> = {},
  ): Promise<ProxyApi[M]['result']> {
    const answer = ANSWERS[method];
    if (answer) return answer(this, { params, options });
    const reason = `several proxy processes cannot be asked for "${method}"`;
    return Promise.reject(new DbproxyError('DBP_INTERNAL', { reason }));
  }

  close(): void {
    for (const member of this.#members) member?.close();
  }

  /** Every one of them, or it fails. */
  async all<M extends keyof ProxyApi>(
    method: M,
    { params, options }: Call<M>,
  ): Promise<ProxyApi[M]['result'][]> {
    return Promise.all(
      this.#members.map((member, index) => {
        if (!member) throw notThere(index);
        return member.call(method, params, options);
      }),
    );
  }

  /** Those that run; one that dies meanwhile is left out. By their place; throws when none is left. */
  async living<M extends keyof ProxyApi>(
    method: M,
    { params, options }: Call<M>,
    turn: (place: number) => Promise<void> | void = () => undefined,
  ): Promise<ReadonlyMap<number, ProxyApi[M]['result']>> {
    const answers = await Promise.all(
      this.#members.map(async (member, place): Promise<[number, ProxyApi[M]['result']] | null> => {
        if (!member || this.#gone.has(member)) return null;
        try {
          await turn(place);
          return [place, await member.call(method, params, options)];
        } catch (error) {
          // The calls hear of the connection's end a moment before `closed`.
          await setImmediate();
          if (this.#gone.has(member)) return null;
          throw error;
        }
      }),
    );
    const found = answers.filter((answer) => answer !== null);
    if (found.length === 0) throw notThere(0);
    return new Map(found);
  }

  /** The one whose session that is: of n processes each gives out every n-th id (src/proxy/proxy.ts). */
  ofSession(id: number): Rpc<ProxyApi> | null {
    const member = this.#members[(id - 1) % this.#members.length] ?? null;
    return member && this.#gone.has(member) ? null : member;
  }

  async sessions(call: Call<'sessions'>): Promise<ProxyApi['sessions']['result']> {
    const found = await this.living('sessions', call);
    const ids = [...found].map(([place, sessions]) => [place, sessions.map(({ id }) => id)] as const);
    // Of one that has died since, what it had is remembered.
    this.#sessions = new Map([...this.#sessions, ...ids]);
    return byId([...found.values()].flat());
  }

  async hold({ params, options }: Call<'hold'>): Promise<ProxyApi['hold']['result']> {
    try {
      const held = holdOf(await this.all('hold', { params: { ...params, together: true }, options }));
      const sealed = held.held ? holdOf(await this.all('seal', { params: {}, options })) : held;
      const whole = { ...held, ...sealed, waitedMs: held.waitedMs + (held.held ? sealed.waitedMs : 0) };
      if (!sealed.held) await this.release();
      return whole;
    } catch (error) {
      await this.release();
      throw error;
    }
  }

  /** `how`: what is asked of each when all are prepared. */
  async decide<M extends 'commit' | 'save'>(how: M, { params, options }: Call<M>): Promise<CommitResult> {
    const decision = join(this.#directory, `${DECISION_PREFIX}${randomBytes(8).toString('hex')}`);
    const bound = { options: options as CallOptions<never> };
    const prepared = await this.all('prepare', { params: { decision }, ...bound }).catch(
      async (error: unknown) => {
        await this.release();
        throw error;
      },
    );
    if (!prepared.every(({ committed }) => committed)) {
      await this.release();
      return { committed: false, unmovable: prepared.flatMap(({ unmovable }) => unmovable) };
    }
    await faultPoint('group.prepared');
    // Any one of them decides for all.
    const told = await this.living(how, { params, options }, (place) =>
      place === 0 ? undefined : faultPoint('group.decided'),
    );
    const answers = [...told.values()] as CommitResult[];
    // All that live have heard of this one, so nobody will ask for it again, or for one before it.
    void this.#forgetDecisions();
    return {
      committed: answers.some(({ committed }) => committed),
      unmovable: answers.flatMap(({ unmovable }) => unmovable),
    };
  }

  async move(call: Call<'move'>): Promise<ProxyApi['move']['result']> {
    return moveOf(await this.living('move', call), this.#sessions);
  }

  async #forgetDecisions(): Promise<void> {
    const names = (await readdir(this.#directory).catch(() => [])).filter((name) =>
      name.startsWith(DECISION_PREFIX),
    );
    for (const name of names) await rm(join(this.#directory, name), { force: true }).catch(() => undefined);
  }

  /** Whatever one of them says to it: those that cannot be reached have let go, or do so when their time is up. */
  async release(): Promise<void> {
    await Promise.allSettled(this.#members.map(async (member) => member?.call('release', {}, RELEASE_BOUND)));
  }
}

const DECISION_PREFIX = 'switch-';
const RELEASE_BOUND = { timeoutMs: 5_000 };

/** Of those that answer nothing: to every one of them, or to those that run. */
const toAll =
  <M extends 'route' | 'lookAhead'>(method: M) =>
  async (group: ProxyGroup, call: Call<M>): Promise<null> => {
    await group.all(method, call);
    return null;
  };
const toLiving =
  <M extends 'unwarm' | 'release' | 'left' | 'shutdown'>(method: M) =>
  async (group: ProxyGroup, call: Call<M>): Promise<null> => {
    await group.living(method, call);
    return null;
  };

const ANSWERS: Answers = {
  status: async (group, call) => statusOf([...(await group.living('status', call)).values()]),
  sessions: (group, call) => group.sessions(call),
  check: async (group, call) => byId([...(await group.living('check', call)).values()].flat()),
  inspect: async (group, { params, options }) =>
    (await group.ofSession(params.id)?.call('inspect', params, options)) ?? null,
  trace: async (group, call) => {
    const { session } = call.params;
    if (session === undefined) await group.all('trace', call);
    else await group.ofSession(session)?.call('trace', call.params, call.options);
    return null;
  },
  route: toAll('route'),
  warm: async (group, call) => {
    const parts = await group.all('warm', call);
    return {
      sessions: sum(parts.map(({ sessions }) => sessions)),
      warmed: sum(parts.map(({ warmed }) => warmed)),
      unmovable: parts.flatMap(({ unmovable }) => unmovable),
    };
  },
  survey: async (group, call) => {
    const parts = await group.all('survey', call);
    return {
      sessions: sum(parts.map(({ sessions }) => sessions)),
      unmovable: parts.flatMap(({ unmovable }) => unmovable),
    };
  },
  lookAgain: async (group, call) => (await group.all('lookAgain', call)).flat(),
  lookAhead: toAll('lookAhead'),
  unwarm: toLiving('unwarm'),
  hold: (group, call) => group.hold(call),
  release: toLiving('release'),
  commit: (group, call) => group.decide('commit', call),
  save: (group, call) => group.decide('save', call),
  move: (group, call) => group.move(call),
  left: toLiving('left'),
  shutdown: toLiving('shutdown'),
};

const byId = <T extends { readonly id: number }>(items: readonly T[]): T[] =>
  items.toSorted((a, b) => a.id - b.id);

const sum = (numbers: readonly number[]): number => numbers.reduce((all, each) => all + each, 0);

const notThere = (index: number): DbproxyError =>
  new DbproxyError('DBP_RPC_UNREACHABLE', {
    socket: `proxy process ${index + 1}`,
    reason: 'it does not run',
  });
