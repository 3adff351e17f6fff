/**
 * The list-append checker: which anomalies does a history show? After Elle (Kingsbury and Alvaro, VLDB 2020), for what
 * several writers promise: parallel snapshot isolation under REPEATABLE READ, read committed otherwise.
 *
 * What a history cannot show is not reported: two reads tell nothing about appends that neither of them saw.
 */
import { cycleIn, graphOf, path, ranksOf, type Edge } from './cycle.js';
import type { Anomaly, Append, History, Read, Transaction } from './history.js';

export interface Expectation {
  /**
   * `snapshot`: no cycle with at most one anti-dependency; those with two or more, write skew and long fork, may be.
   * `committed`: no cycle of writes and of what was read.
   */
  readonly isolation: 'snapshot' | 'committed';
}

export function check(history: History, { isolation }: Expectation): Anomaly[] {
  const appenders = appendersOf(history.transactions);
  const orders = ordersOf(history);
  return [
    ...compareWriters(history),
    ...history.transactions.flatMap((one) => checkReads(one, orders, appenders)),
    ...Object.entries(history.final).flatMap(([writer, lists]) =>
      Object.entries(lists).flatMap(([list, elements]) => checkElements(list, elements, writer, appenders)),
    ),
    ...lostAppends(history),
    ...cycles(history, orders, appenders, isolation),
  ];
}

type Appenders = ReadonlyMap<string, Transaction>;
const place = (list: string, element: number): string => `${list} ${element}`;
const appendsOf = ({ operations }: Transaction): Append[] =>
  operations.filter((one) => one.kind === 'append');
const readsOf = ({ operations }: Transaction): Read[] => operations.filter((one) => one.kind === 'read');
const isBeginning = (part: readonly number[], whole: readonly number[]): boolean =>
  part.length <= whole.length && part.every((element, i) => element === whole[i]);

const appendersOf = (transactions: readonly Transaction[]): Appenders =>
  new Map(
    transactions.flatMap((one) => appendsOf(one).map(({ list, element }) => [place(list, element), one])),
  );

/** Of each list, as the first writer has it in the end. */
const ordersOf = ({ final }: History): Map<string, readonly number[]> =>
  new Map(Object.entries(Object.values(final)[0] ?? {}));

function compareWriters({ final }: History): Anomaly[] {
  const [first, ...others] = Object.entries(final);
  if (!first) return [];
  const [name, lists] = first;
  return others.flatMap(([other, theirs]) =>
    [...new Set([...Object.keys(lists), ...Object.keys(theirs)])]
      .filter((list) => (lists[list] ?? []).join() !== (theirs[list] ?? []).join())
      .map((list) => ({ kind: 'writers-differ' as const, list, writers: [name, other] as const })),
  );
}

/** What one sees of a list: each element once, and of a transaction that may have committed. */
function checkElements(
  list: string,
  elements: readonly number[],
  where: string,
  appenders: Appenders,
): Anomaly[] {
  const seen = new Set<number>();
  return elements.flatMap((element): Anomaly[] => {
    if (seen.has(element)) return [{ kind: 'duplicate', list, element, where }];
    seen.add(element);
    const by = appenders.get(place(list, element));
    if (!by) return [{ kind: 'phantom', list, element, where }];
    return by.outcome === 'aborted' && by.id !== where
      ? [{ kind: 'aborted-read', list, element, transaction: by.id, where }]
      : [];
  });
}

function checkReads(
  one: Transaction,
  orders: ReadonlyMap<string, readonly number[]>,
  appenders: Appenders,
): Anomaly[] {
  const found: Anomaly[] = [];
  const own = new Map<string, number[]>();
  for (const operation of one.operations) {
    const { list } = operation;
    const mine = own.get(list) ?? [];
    if (operation.kind === 'append') {
      own.set(list, [...mine, operation.element]);
      continue;
    }
    const { elements } = operation;
    found.push(...checkElements(list, elements, one.id, appenders));
    const foreign = elements.slice(0, elements.length - mine.length);
    if (elements.slice(foreign.length).join() !== mine.join())
      found.push({ kind: 'own-append-missed', list, transaction: one.id });
    // What an aborted transaction appended itself is in no order.
    if (!isBeginning(foreign, orders.get(list) ?? []))
      found.push({ kind: 'incompatible-order', list, transaction: one.id });
    const last = foreign.at(-1);
    const by = last === undefined ? undefined : appenders.get(place(list, last));
    if (by && by.id !== one.id && appendsOf(by).findLast((append) => append.list === list)?.element !== last)
      found.push({ kind: 'intermediate-read', list, transaction: one.id, of: by.id });
  }
  return found;
}

const lostAppends = ({ transactions, final }: History): Anomaly[] =>
  transactions
    .filter(({ outcome }) => outcome === 'committed')
    .flatMap((one) =>
      appendsOf(one).flatMap(({ list, element }) =>
        Object.entries(final)
          .filter(([, lists]) => !lists[list]?.includes(element))
          .map(([writer]) => ({ kind: 'lost' as const, list, element, transaction: one.id, writer })),
      ),
    );

/**
 * Dependencies, after Adya: ww, whose append came next; wr, whose append was read; rw, who appended next to what was read.
 * The order within a session is not among them: a client may ask another writer next, which is behind (read mode `instance`).
 */
function cycles(
  { transactions }: History,
  orders: ReadonlyMap<string, readonly number[]>,
  appenders: Appenders,
  isolation: Expectation['isolation'],
): Anomaly[] {
  const edges: Edge[] = [];
  const link = (from: Transaction | undefined, to: Transaction | undefined, kind: Edge['kind']): void => {
    if (from && to && from.id !== to.id) edges.push({ from: from.id, to: to.id, kind });
  };
  for (const [list, elements] of orders) {
    elements.forEach((element, i) => {
      const next = elements[i + 1];
      if (next !== undefined)
        link(appenders.get(place(list, element)), appenders.get(place(list, next)), 'ww');
    });
  }
  for (const one of transactions.filter(({ outcome }) => outcome !== 'aborted')) {
    for (const { list, elements } of readsOf(one)) {
      const foreign = elements.filter((element) => appenders.get(place(list, element))?.id !== one.id);
      const last = foreign.at(-1);
      if (last !== undefined) link(appenders.get(place(list, last)), one, 'wr');
      const next = orders.get(list)?.[foreign.length];
      if (next !== undefined) link(one, appenders.get(place(list, next)), 'rw');
    }
  }
  const of = (...kinds: Edge['kind'][]) => edges.filter(({ kind }) => kinds.includes(kind));
  const writes = cycleIn(graphOf(of('ww')));
  if (writes) return [{ kind: 'cycle', of: 'writes', transactions: writes }];
  const seen = graphOf(of('ww', 'wr'));
  const information = cycleIn(seen);
  if (information) return [{ kind: 'cycle', of: 'information', transactions: information }];
  if (isolation === 'committed') return [];
  const ranks = ranksOf(seen);
  const mayLead = (from: string, to: string): boolean => (ranks.get(from) ?? 0) <= (ranks.get(to) ?? 0);
  for (const { from, to } of of('rw').filter(({ from, to }) => mayLead(to, from))) {
    const way = path(seen, to, from);
    if (way) return [{ kind: 'cycle', of: 'one-anti-dependency', transactions: [from, ...way] }];
  }
  return [];
}
