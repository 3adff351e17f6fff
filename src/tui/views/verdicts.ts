/** What was decided about transactions that collided: who voted for whom, who won, what the loser's client saw. The newest above. */
import type { JudgedTransaction, LogEvent, Verdict } from '../../control/api.js';
import type { Model } from '../model.js';
import { clean, span, type Line, type Span } from '../text.js';
import { clock } from './clock.js';
import { scrolled } from './scrolled.js';

const verdictsOf = (events: readonly LogEvent[]): Verdict[] =>
  events
    .flatMap(({ type, data }) => (type === 'writer.verdict' ? [data as unknown as Verdict] : []))
    .reverse();

export function verdictsView({ events, status }: Model, scroll: number, height: number): Line[] {
  const verdicts = verdictsOf(events);
  const split = verdicts.filter((verdict) => verdict.split).length;
  const title: Line = [
    span(`verdicts ${verdicts.length}`, 'title'),
    span(split > 0 ? `  votes were split ${split} ×` : '', 'warn'),
  ];
  if (verdicts.length === 0) return [title, [span(noneYet(status), 'dim')]];
  return scrolled(title, verdicts.flatMap(linesOf), scroll, height);
}

const noneYet = (status: Model['status']): string =>
  status?.store
    ? 'nothing has collided yet; c makes it happen'
    : 'one writer: nothing can collide; dbproxy up --writers 2 starts two';

function linesOf({ at, primary, epoch, slot, split, transactions }: Verdict): Line[] {
  return [
    [
      span(`${clock(at)} `, 'dim'),
      span(`${slot}`, 'strong'),
      span(` by ${primary}, epoch ${epoch}`, 'dim'),
      span(split ? '  the votes were split' : '', 'warn'),
    ],
    ...transactions.flatMap(linesOfTransaction),
  ];
}

function linesOfTransaction(one: JudgedTransaction): Line[] {
  const { writer, lsn, outcome, reason, accepted, heard, about, client } = one;
  const votes = heard.flatMap((node): Span[] => {
    const isFor = accepted.includes(node);
    return [span(`${node}${isFor ? '✔' : '✖'} `, isFor ? 'good' : 'bad')];
  });
  const saw: Line[] =
    client === null
      ? []
      : [
          [
            span('    its client saw ', 'dim'),
            span(client.sqlstate, 'warn'),
            span(` ${clean(client.message)}`, 'dim'),
          ],
        ];
  return [
    [
      span(`  ${writer} `, 'strong'),
      span(`${lsn} `, 'dim'),
      ...votes,
      outcome === 'commit' ? span('commits', 'good') : span('aborts', 'bad'),
      span(about === null ? '' : `  ${clean(about)}`),
    ],
    [span(`    ${clean(reason)}`, 'dim')],
    ...saw,
  ];
}
