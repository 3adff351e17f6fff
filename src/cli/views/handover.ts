/** The record of `patch --self` for people. */
import type { SelfPatchResult } from '../../control/replace-self.js';
import { duration, plural } from '../format.js';
import type { Style } from '../style.js';
import { facts } from '../table.js';

export function handoverView(result: SelfPatchResult, style: Style): string {
  const { from, to, sessions, holdMs, supervisor, totalMs, processes, nodes } = result;
  const mark = sessions.lost === 0 ? style.ok : style.caution;
  const handed = `${plural(sessions.handed, 'session')} handed over`;
  return [
    `${mark} ${style.strong('proxy replaced')}  ${handed}  ${style.dim(duration(totalMs))}`,
    '',
    facts(
      [
        ['from', `process ${from.pid}, version ${from.version}`],
        ['to', `process ${to.pid}, version ${to.version}`],
        [
          'processes',
          processes
            ?.map((each) => `${each.from} → ${each.to} (${plural(each.handed, 'session')})`)
            .join(', '),
        ],
        [
          'storage nodes',
          nodes?.map((each) => `${each.node} ${each.from ?? 'none'} → ${each.to}`).join(', '),
        ],
        ['supervisor', `${supervisor.from.pid} → ${supervisor.to.pid}`],
        [
          'held for',
          holdMs.count > 0
            ? `p50 ${duration(holdMs.p50)}, p99 ${duration(holdMs.p99)}, max ${duration(holdMs.max)}`
            : undefined,
        ],
        ...sessions.failed.map(({ id, reason }) => ['lost', style.bad(`session ${id}: ${reason}`)] as const),
      ],
      style,
    ),
  ].join('\n');
}
