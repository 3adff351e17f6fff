/** One walk: the session that moves and its twin that does not, told the same; the first difference, if there is one. */
import type { Walk } from './classes.js';
import { scriptOf, type Command, type Step } from './command.js';
import { finalLook } from './final-look.js';
import { Mover } from './move.js';
import { TwinSession } from './session.js';
import type { Pair } from './world.js';

export class Tally {
  walks = 0;
  steps = 0;
  moves = 0;
  /** Why sessions stayed where they were, and how often. */
  readonly stayed = new Map<string, number>();

  stays(reason: string): void {
    this.stayed.set(reason, (this.stayed.get(reason) ?? 0) + 1);
  }
}

export class Difference extends Error {
  override readonly name = 'Difference';

  constructor(after: string, moved: string, twin: string) {
    const lines = `${unlike('moved', moved, twin)}${unlike('twin', twin, moved)}`;
    // The same lines in another order, or another number of times.
    super(`after ${after}\n${lines || `${told('moved', moved)}${told('twin', twin)}`}`);
  }
}

const told = (name: string, line: string): string =>
  `  ${name}: ${JSON.stringify(line).replace(/(\\u00..)+/g, ' ')}\n`;

/** The lines that the other has not got. */
const unlike = (name: string, text: string, other: string): string =>
  text
    .split('\n')
    .filter((line) => !other.split('\n').includes(line))
    .map((line) => told(name, line))
    .join('');

const isTemporary = (step: Step): boolean => /temp/.test(scriptOf(step));
const isPoint = (step: Step): step is 'warm' | 'move' => typeof step === 'string';

export const compare = async ({ user, steps }: Walk, { moved, twin }: Pair, tally: Tally): Promise<void> => {
  await Promise.all([moved.reset(), twin.reset()]);
  const sessions = [new TwinSession(await moved.open(user)), new TwinSession(await twin.open(user))] as const;
  const [session, other] = sessions;
  const mover = new Mover(session, user, moved);
  try {
    let batch: Command[] = [];
    for (const step of steps) {
      if (!isPoint(step)) {
        batch.push(step);
        continue;
      }
      await tellBoth(sessions, batch);
      tally.steps += batch.length;
      batch = [];
      if (!session.atSafePoint) continue;
      const reason = await (step === 'warm' ? mover.warm() : mover.move());
      if (reason !== null) tally.stays(reason);
      else if (step === 'move') {
        tally.moves++;
        same('the move, as reported', session.parameters, other.parameters);
      }
    }
    await tellBoth(sessions, batch);
    tally.steps += batch.length;
    tally.walks++;
    await tellBoth(sessions, finalLook(session.broken.keys(), steps.some(isTemporary)));
    same('all, as reported', session.parameters, other.parameters);
  } finally {
    mover.close();
    sessions.forEach((each) => each.close());
  }
};

const tellBoth = async (
  [moved, twin]: readonly [TwinSession, TwinSession],
  batch: readonly Command[],
): Promise<void> => {
  const [ours, theirs] = await Promise.all([moved.tell(batch), twin.tell(batch)]);
  batch.forEach((command, i) => same(scriptOf(command), ours[i] ?? '', theirs[i] ?? ''));
};

const same = (after: string, moved: string, twin: string): void => {
  if (moved !== twin) throw new Difference(after, moved, twin);
};
