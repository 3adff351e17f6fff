/**
 * Definitions of one writer's clients come one after the other: one that begins while another is at work would have seen less than it
 * at its COMMIT, and be refused. That is effort only; who has waited long enough goes on without its turn.
 */
export class Turns<Who extends object> {
  #holder: Who | null = null;
  #waiting: (() => void)[] = [];

  /** Resolves when it is its turn, or has not come to it for so long. */
  async take(who: Who, limitMs: number): Promise<void> {
    for (const end = performance.now() + limitMs; this.#holder !== null && this.#holder !== who;) {
      const leftMs = end - performance.now();
      if (leftMs <= 0) return;
      await this.#change(leftMs);
    }
    this.#holder = who;
  }

  /** Nothing, if it has none. */
  pass(who: Who): void {
    if (this.#holder !== who) return;
    this.#holder = null;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #change(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
