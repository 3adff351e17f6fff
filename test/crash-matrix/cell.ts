/** One cell of the matrix: an operation stands at a step, somebody is hit there, it goes on, and everything is looked at. */
import { setTimeout as delay } from 'node:timers/promises';
import { processIdentity } from '../../src/engine/index.js';
import { until } from '../control/live.js';
import { isDisk, type Ground, type Serving, type Victim } from './ground.js';
import { judge } from './judge.js';
import { CLIENTS, Load } from './load.js';
import type { Operation, Standing } from './operations.js';

export const FAULTS = ['kill', 'stop', 'full'] as const;
export type Fault = (typeof FAULTS)[number];

export interface Cell {
  readonly operation: string;
  readonly step: string;
  readonly victim: Victim;
  readonly fault: Fault;
}

export interface CellResult extends Cell {
  readonly outcome: string;
  /** Clients whose connection ended. */
  readonly lost: number;
  readonly clients: number;
  readonly acknowledged: number;
  readonly failed: number;
  readonly unknown: number;
  readonly violations: readonly string[];
}

const STOPPED_MS = 5_000;
/** Until somebody makes room. */
const FULL_MS = 5_000;
/** Of WAL, with each statement: the disk is needed. */
const PADDING_BYTES = 16_384;
const END_BOUND_MS = 180_000;

export const nameOf = ({ operation, step, victim, fault }: Cell): string =>
  `${operation} ${step} ${victim} ${fault}`;

/** Never rejects: what could not be done is a violation. */
export async function runCell(ground: Ground, operation: Operation, cell: Cell): Promise<CellResult> {
  const violations: string[] = [];
  let [load, outcome]: [Load | null, string] = [null, 'not reached'];
  try {
    await operation.prepare?.(ground, cell.step);
    load = await Load.start(ground.url, cell.fault === 'full' ? PADDING_BYTES : 0);
    if ((await load.stuck()) > 0) throw new Error('clients do not go on before anybody is hit');
    const before = await ground.serving();
    const standing = await operation.begin(ground, before, cell.step);
    await hit(ground, before, cell, standing);
    const isOver = await Promise.race([
      standing.ended.then(() => true),
      delay(END_BOUND_MS, false, { ref: false }),
    ]);
    if (!isOver) violations.push(`the operation did not end within ${END_BOUND_MS} ms`);
    violations.push(...(await ground.settle()));
    outcome = operation.outcome(before, await ground.serving());
    const told = isOver ? (await standing.ended).told : null;
    if (cell.fault === 'full' && told !== null && !operation.fails && !told.includes('DBP_ENV_DISK_FULL'))
      violations.push(`the full disk is not named: ${told}`);
  } catch (error) {
    violations.push(String(error));
  }
  const seen = load && (await judged(load).catch((error: unknown) => ({ found: [String(error)] })));
  violations.push(...(seen?.found ?? []));
  const lost = load?.lost ?? 0;
  if (lost > 0 && isUnnoticed(cell)) violations.push(`${lost} clients noticed`);
  const count = (fate: string): number =>
    load?.statements.filter((statement) => statement.fate === fate).length ?? 0;
  return {
    ...{ ...cell, outcome, lost, clients: CLIENTS, violations },
    ...{ acknowledged: count('acknowledged'), failed: count('failed'), unknown: count('unknown') },
  };
}

async function judged(load: Load): Promise<{ found: string[] }> {
  const found = await load.stop();
  return { found: [...found, ...judge(load.statements, await load.rows())] };
}

async function hit(ground: Ground, before: Serving, cell: Cell, { goOn }: Standing): Promise<void> {
  const { victim, fault } = cell;
  if (isDisk(victim)) {
    await ground.fill(victim);
    await goOn();
    await delay(FULL_MS);
    return ground.makeRoom(victim);
  }
  const pids = await ground.processesOf(victim, before);
  if (pids.length === 0) throw new Error(`there was no ${victim}`);
  return fault === 'kill' ? kill(pids, victim, goOn) : stop(pids, victim, goOn);
}

/** Of the one process that the others belong to. */
async function kill([pid]: readonly number[], victim: Victim, goOn: () => Promise<void>): Promise<void> {
  if (pid !== undefined) {
    signal(pid, 'SIGKILL');
    await until(`${victim} is gone`, () => processIdentity(pid) === null);
  }
  return goOn();
}

/** All of them, for 5 s, and whoever waits goes on meanwhile. */
async function stop(pids: readonly number[], victim: Victim, goOn: () => Promise<void>): Promise<void> {
  for (const pid of pids) signal(pid, 'SIGSTOP');
  // A supervisor that is stopped cannot be told.
  if (victim !== 'supervisor') await goOn();
  await delay(STOPPED_MS);
  for (const pid of pids) signal(pid, 'SIGCONT');
  if (victim === 'supervisor') await goOn();
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

const BEFORE_COMMIT = ['provision', 'warm', 'drain', 'fence', 'catchup'];

/** From here on the new proxy has sessions. */
const GIVEN_OVER = ['handover.go', 'handover.successor.go', 'handover.successor.finish'];

/** What no client may notice: whatever befalls the supervisor or its files, and a new engine or proxy that nobody is on yet. */
const isUnnoticed = ({ victim, step }: Cell): boolean =>
  victim === 'supervisor' ||
  victim === 'state-disk' ||
  (victim === 'new-engine' && BEFORE_COMMIT.includes(step)) ||
  (victim === 'new-proxy' && !GIVEN_OVER.includes(step));
