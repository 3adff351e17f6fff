/**
 * Definitions of one writer's clients come one after the other: one that begins while another is at work would have seen less than it
 * at its COMMIT, and be refused. That is effort only; who has waited long enough goes on without its turn, and sooner where the
 * one whose turn it is has nothing at work: nobody knows when its client will go on.
 */
export interface InTurn {
  /** Nothing of it is at work: its client has to say the next thing. */
  readonly isQuiet: boolean;
}

export interface TurnLimits {
  readonly limitMs: number;
  /** So long the other one may be quiet. */
  readonly quietMs: number;
}

/** So often it is looked whether the other one is quiet. */
const LOOK_MS = 50;

export class Turns<Who extends InTurn> {
  #holder: Who | null = null;
  /** When the holder was seen at work. */
  #workedAt = 0;
  /** In the order in which they were asked for. */
  readonly #waiting: (() => void)[] = [];

  /** Resolves when it is its turn, or has not come to it for so long. */
  async take(who: Who, { limitMs, quietMs }: TurnLimits): Promise<void> {
    let wake: () => void = () => undefined;
    const place = (): void => wake();
    this.#waiting.push(place);
    try {
      for (const end = performance.now() + limitMs; !this.#isFree(who, place);) {
        const now = performance.now();
        if (this.#holder?.isQuiet === false) this.#workedAt = now;
        if (now >= end || now - this.#workedAt >= quietMs) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
          setTimeout(resolve, Math.min(LOOK_MS, end - now));
        });
      }
      this.#holder = who;
      this.#workedAt = performance.now();
    } finally {
      this.#waiting.splice(this.#waiting.indexOf(place), 1);
    }
  }

  /** Nothing, if it has none. */
  pass(who: Who): void {
    if (this.#holder !== who) return;
    this.#holder = null;
    this.#waiting[0]?.();
  }

  #isFree(who: Who, place: () => void): boolean {
    return this.#holder === who || (this.#holder === null && this.#waiting[0] === place);
  }
}
