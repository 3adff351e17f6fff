/**
 * A probe is a piece of work that knows what its session should still have, and looks: a session that was moved without its
 * temporary table fails here, and nowhere in a load of plain transactions.
 */
import type pg from 'pg';
import type { LoadConnection } from '../connection.js';
import { classify, StateLost } from '../taxonomy.js';
import type { Done, Runner, Work, WorkContext } from '../work.js';

export interface ProbeSession {
  readonly client: pg.Client;
  readonly context: WorkContext;
}

/** One transaction: uses the state and checks it. Throws StateLost, or what the driver throws. */
export type Turn = () => Promise<void>;

export interface Probe {
  readonly name: string;
  readonly summary: string;
  /** Makes the state on a session that has none. What the turns must remember of it lives in the closure. */
  readonly open: (session: ProbeSession) => Promise<Turn>;
}

export const probeWork = (probe: Probe, weight: number): Work => ({
  ...{ name: probe.name, weight },
  ...{ ledger: 'none', sparesLedger: true, needsPgbenchTables: false },
  open: (connection, context) => ProbeRunner.open(probe, connection, context),
});

class ProbeRunner implements Runner {
  readonly #probe: Probe;
  readonly #session: ProbeSession;
  readonly rollsBack = true;
  #turn: Turn;

  private constructor(probe: Probe, session: ProbeSession, turn: Turn) {
    this.#probe = probe;
    this.#session = session;
    this.#turn = turn;
  }

  static async open(probe: Probe, { client }: LoadConnection, context: WorkContext): Promise<ProbeRunner> {
    const session = { client, context };
    return new ProbeRunner(probe, session, await probe.open(session));
  }

  run(done: Done): void {
    this.#turn().then(
      () => done(),
      (error: unknown) => void this.#failed(error).then(done),
    );
  }

  /** State that is gone is counted once: it is made anew for the next turn. */
  async #failed(error: unknown): Promise<ReturnType<typeof classify>> {
    if (error instanceof StateLost) {
      try {
        await this.#session.client.query('ROLLBACK');
        this.#turn = await this.#probe.open(this.#session);
      } catch (another) {
        const { lost } = classify(another, false);
        return { ...classify(error, false), lost };
      }
    }
    return classify(error, false);
  }
}

/** Names the SQLSTATEs that say that what the turn uses does not exist any more. */
export async function lostWhen<T>(sqlstates: readonly string[], what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (typeof code === 'string' && sqlstates.includes(code))
      throw new StateLost(`${what} is gone`, { cause: error });
    throw error;
  }
}

export function expectSame(what: string, found: unknown, expected: unknown): void {
  if (found !== expected) throw new StateLost(`${what}: ${String(found)}, was ${String(expected)}`);
}
