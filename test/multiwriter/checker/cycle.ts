/** A cycle in a graph of transactions, where there is one. */
export interface Edge {
  readonly from: string;
  readonly to: string;
  readonly kind: 'ww' | 'wr' | 'rw';
}

export type Graph = ReadonlyMap<string, readonly string[]>;

export function graphOf(edges: readonly Edge[]): Graph {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) {
    const known = next.get(from);
    if (known) known.push(to);
    else next.set(from, [to]);
  }
  return next;
}

/** The transactions of a cycle in their order. */
export function cycleIn(next: Graph): string[] | null {
  for (const start of cyclic(next)) {
    const cycle = path(next, start, start);
    if (cycle) return cycle;
  }
  return null;
}

/** What is left when all that nothing leads to is taken away, again and again (Kahn): none, if there is no cycle. */
const cyclic = (next: Graph): string[] => {
  const gone = ranksOf(next);
  return [...next.keys()].filter((one) => !gone.has(one));
};

/** Where there is no cycle: a path leads from lower numbers to higher ones. */
export function ranksOf(next: Graph): ReadonlyMap<string, number> {
  const incoming = new Map<string, number>();
  for (const targets of next.values())
    for (const to of targets) incoming.set(to, (incoming.get(to) ?? 0) + 1);
  const free = [...next.keys()].filter((one) => !incoming.has(one));
  const ranks = new Map<string, number>();
  for (const one of free) {
    ranks.set(one, ranks.size);
    for (const to of next.get(one) ?? []) {
      const left = (incoming.get(to) ?? 0) - 1;
      incoming.set(to, left);
      if (left === 0) free.push(to);
    }
  }
  return ranks;
}

/** From one to the other, without the latter; a shortest one (breadth first). */
export function path(next: Graph, start: string, end: string): string[] | null {
  const cameFrom = new Map<string, string>();
  const queue = [start];
  for (const one of queue) {
    for (const to of next.get(one) ?? []) {
      if (to === end) return [start, ...wayTo(one, start, cameFrom)];
      if (cameFrom.has(to)) continue;
      cameFrom.set(to, one);
      queue.push(to);
    }
  }
  return null;
}

function wayTo(end: string, start: string, cameFrom: ReadonlyMap<string, string>): string[] {
  const way: string[] = [];
  for (let at: string | undefined = end; at !== undefined && at !== start; at = cameFrom.get(at))
    way.unshift(at);
  return way;
}
