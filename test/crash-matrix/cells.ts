/** Which cells there are, which of them are asked for, and in which order. */
import { FAULTS, type Cell, type Fault } from './cell.js';
import { DISKS, VICTIMS, type Victim } from './ground.js';
import { OPERATIONS, type Operation } from './operations.js';

export interface Asked {
  readonly operation?: string | undefined;
  readonly step?: string | undefined;
  readonly victim?: string | undefined;
  readonly fault?: string | undefined;
}

/** All of what is not named. Throws at a name that does not exist. */
export function cellsOf(asked: Asked): Cell[] {
  const choose = <Name extends string>(names: readonly Name[], list: string | undefined): Name[] => {
    const wanted = list?.split(',') ?? names;
    const unknown = wanted.find((name) => !names.includes(name as Name));
    if (unknown !== undefined) throw new Error(`${unknown} is none of ${names.join(', ')}`);
    return names.filter((name) => wanted.includes(name));
  };
  const operations = choose(
    OPERATIONS.map(({ name }) => name),
    asked.operation,
  );
  const steps = choose([...new Set(OPERATIONS.flatMap((each) => each.steps))], asked.step);
  const [victims, faults] = [choose(VICTIMS, asked.victim), choose(FAULTS, asked.fault)];
  return faults.flatMap((fault) =>
    OPERATIONS.filter(({ name }) => operations.includes(name)).flatMap((operation) =>
      operation.steps
        .filter((step) => steps.includes(step))
        .flatMap((step) =>
          victimsOf(operation, step, fault)
            .filter((victim) => victims.includes(victim))
            .map((victim) => ({ operation: operation.name, step, victim, fault })),
        ),
    ),
  );
}

const victimsOf = (operation: Operation, step: string, fault: Fault): readonly Victim[] =>
  fault === 'full' ? DISKS : operation.victims(step);

/** Shuffled by the seed (Fisher and Yates; Park and Miller's generator); without one as they are. */
export function inOrderOf<T>(items: readonly T[], seed: string | undefined): T[] {
  const order = [...items];
  if (seed === undefined) return order;
  let state = (Number(seed) % 2_147_483_646) + 1;
  for (let at = order.length - 1; at > 0; at--) {
    state = (state * 48_271) % 2_147_483_647;
    const to = state % (at + 1);
    [order[at], order[to]] = [order[to] as T, order[at] as T];
  }
  return order;
}
