/** The operations of the matrix: their steps, who is there at each, and how one is begun and stopped at a step. */
import { access, writeFile } from 'node:fs/promises';
import type { HandoverRecord, MoveParams, MoveRecord, OperationProgress } from '../../src/control/api.js';
import { connectSupervisor, type Supervisor } from '../../src/control/client.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { replaceSelf } from '../../src/control/replace-self.js';
import { DbproxyError } from '../../src/errors/index.js';
import { SWITCHOVER_STEPS, type SwitchoverStep } from '../../src/switchover/index.js';
import { SCALE, until } from '../control/live.js';
import { BROKEN } from '../support/broken-version.js';
import { NEWER, OLDER } from '../support/versions.js';
import type { Ground, ProcessName, Serving } from './ground.js';

const REACHED_MS = 60_000;
/** Long enough to hit something while everybody is held. */
const LIMITS = { ...SCALE, holdBudgetMs: 3_000, deadlineMs: 30_000 };

/** An operation that stands at its step. */
export interface Standing {
  readonly goOn: () => Promise<void>;
  /** Never rejects. `told`: what the command would end with, `CODE: message`; null when it is done. */
  readonly ended: Promise<{ readonly told: string | null }>;
}

export interface Operation {
  readonly name: string;
  readonly steps: readonly string[];
  /** Never done, whoever is hit. */
  readonly fails?: true;
  /** Who can be hit at this step; a disk can be full at every one. */
  victims(step: string): readonly ProcessName[];
  /** Before there are clients. */
  prepare?(ground: Ground, step: string): Promise<void>;
  begin(ground: Ground, before: Serving, step: string): Promise<Standing>;
  /** What has come of it, by what serves. */
  outcome(before: Serving, after: Serving): string;
}

const HANDOVER_POINTS = [
  'handover.hello',
  'handover.successor.prepared',
  'handover.prepared',
  'handover.successor.listening',
  'handover.listening',
  'handover.sockets',
  'handover.sessions',
  'handover.successor.adopted',
  'handover.adopted',
  'handover.go',
  'handover.successor.go',
  'handover.successor.finish',
];

const isBefore = (step: string, other: SwitchoverStep): boolean =>
  SWITCHOVER_STEPS.findIndex((each) => each === step) < SWITCHOVER_STEPS.indexOf(other);

/** To a standby that is promoted: there is a new engine once it has been provided. */
const standbyVictims = (step: string): readonly ProcessName[] => [
  ...(['supervisor', 'old-proxy', 'old-engine'] as const),
  ...(step === 'provision' ? [] : (['new-engine'] as const)),
];

/** There is one engine; its server is the old one, until it has stopped. */
const inPlaceVictims = (step: string): readonly ProcessName[] => [
  ...(['supervisor', 'old-proxy'] as const),
  ...(isBefore(step, 'catchup') ? (['old-engine'] as const) : []),
];

const other = ({ postgres }: Serving): string => (postgres === OLDER ? NEWER : OLDER);
/** Nothing is named `retire` in place. */
const IN_PLACE_STEPS = SWITCHOVER_STEPS.filter((step) => step !== 'retire');

export const OPERATIONS: readonly Operation[] = [
  {
    name: 'scale',
    steps: SWITCHOVER_STEPS,
    victims: standbyVictims,
    begin: (ground, { size }, step) =>
      beginMove(ground, step, (supervisor, limits, onProgress) => {
        const to = size === 'small' ? 'medium' : 'small';
        return supervisor.call('scale', { ...limits, to }, { onProgress });
      }),
    outcome: (before, after) => (after.engine === before.engine ? 'rolled back' : 'completed'),
  },
  {
    name: 'patch-standby',
    steps: SWITCHOVER_STEPS,
    victims: standbyVictims,
    begin: (ground, before, step) => beginPatch(ground, step, other(before), 'standby'),
    outcome: (before, after) => (after.engine === before.engine ? 'rolled back' : 'completed'),
  },
  {
    name: 'patch-in-place',
    steps: IN_PLACE_STEPS,
    victims: inPlaceVictims,
    begin: (ground, before, step) => beginPatch(ground, step, other(before), 'in-place'),
    outcome: (before, after) => (after.postgres === before.postgres ? 'rolled back' : 'completed'),
  },
  {
    // The new server does not start: the old one is started again, and everybody is logged in there.
    name: 'rollback',
    fails: true,
    steps: IN_PLACE_STEPS,
    victims: inPlaceVictims,
    begin: (ground, _before, step) => beginPatch(ground, step, BROKEN, 'in-place'),
    outcome: (before, after) => (after.postgres === before.postgres ? 'rolled back' : 'completed'),
  },
  {
    name: 'patch-self',
    steps: HANDOVER_POINTS,
    victims: () => ['supervisor', 'old-proxy', 'new-proxy', 'old-engine'],
    prepare: (ground, point) => ground.pauseProxies(point),
    begin: beginHandover,
    outcome: (before, after) => (after.proxy === before.proxy ? 'rolled back' : 'another proxy'),
  },
];

type Call = (
  supervisor: Supervisor,
  limits: MoveParams,
  onProgress: (progress: OperationProgress) => void,
) => Promise<MoveRecord>;

const beginPatch = (
  ground: Ground,
  step: string,
  to: string,
  strategy: 'standby' | 'in-place',
): Promise<Standing> =>
  beginMove(ground, step, (supervisor, limits, onProgress) =>
    supervisor.call('patch', { ...limits, to, strategy }, { onProgress }),
  );

/** It waits by itself (`pauseAt`), with the step on disk. */
async function beginMove({ name }: Ground, step: string, call: Call): Promise<Standing> {
  const [supervisor, teller] = [await connectSupervisor(name), await connectSupervisor(name)];
  const pauseAt = SWITCHOVER_STEPS.find((each) => each === step);
  const limits = { ...LIMITS, ...(pauseAt ? { pauseAt } : {}) };
  const seen = new Set<string>();
  let isOver = false;
  const ended = endOf(call(supervisor, limits, (progress) => seen.add(progress.step))).finally(() => {
    isOver = true;
    supervisor.close();
    teller.close();
  });
  const isThere = async (): Promise<boolean> =>
    seen.has(step) && (await InstanceDirectory.of(name).readOperation())?.step === step;
  await until(`the operation is at ${step}`, async () => isOver || (await isThere()), REACHED_MS);
  if (isOver) throw new Error(`ended before ${step}: ${(await ended).told}`);
  const goOn = (): Promise<void> => teller.call('goOn', {}).then(ignore, ignore);
  return { goOn, ended };
}

/** A proxy, the old or the new one, waits at its fault point until there is a file. */
async function beginHandover(ground: Ground, _before: Serving, point: string): Promise<Standing> {
  const file = ground.pauseFile;
  let isOver = false;
  const ended = endOf(replaceSelf(ground.name, ignore)).finally(() => (isOver = true));
  const isThere = (): Promise<boolean> => access(`${file}.reached`).then(yes, no);
  await until(`the handover is at ${point}`, async () => isOver || (await isThere()), REACHED_MS);
  if (isOver) throw new Error(`ended before ${point}: ${(await ended).told}`);
  return { goOn: () => writeFile(file, ''), ended };
}

const endOf = (running: Promise<MoveRecord | HandoverRecord>): Standing['ended'] =>
  running.then(
    (record) => ({ told: 'error' in record && record.error ? inWords(record.error) : null }),
    (error: unknown) => ({ told: inWords(DbproxyError.from(error)) }),
  );
const inWords = ({ code, message }: { readonly code: string; readonly message: string }): string =>
  `${code}: ${message}`;
const ignore = (): void => undefined;
const yes = (): boolean => true;
const no = (): boolean => false;
