/** `engine ls`, `engine add` and `engine rm` for people. */
import type { EngineAddResult, EngineRemoveResult, EnginesResult } from '../../control/engines.js';
import { duration, plural, size } from '../format.js';
import type { Style } from '../style.js';
import { table } from '../table.js';

export function enginesView({ cache, engines, remains, available }: EnginesResult, style: Style): string {
  const rows = engines.map((engine) => [
    ...[engine.postgres, engine.source, size(engine.bytes)],
    engine.usedBy.join(', ') || style.dim('–'),
    style.dim(engine.path),
  ]);
  const head = [
    { head: 'postgres' },
    { head: 'source' },
    { head: 'size', align: 'right' as const },
    ...[{ head: 'used by' }, { head: 'path' }],
  ];
  return [
    engines.length === 0 ? '  no version of PostgreSQL is here' : table(head, rows, style),
    '',
    `  ${style.dim('cache')}  ${cache}`,
    ...remains.map(({ detail, bytes }) => `  ${style.caution} ${detail} ${style.dim(`(${size(bytes)})`)}`),
    ...(available === null ? [] : ['', availableView(available, style)]),
  ].join('\n');
}

/** A line for each major version; those that are here stand out. */
function availableView(available: NonNullable<EnginesResult['available']>, style: Style): string {
  const majors = [...new Set(available.map(({ postgres }) => postgres.split('.')[0] ?? ''))];
  const lines = majors.map((major) => {
    const minors = available.filter(({ postgres }) => postgres.startsWith(`${major}.`));
    return `  ${minors.map(({ postgres, here }) => (here ? style.strong(`${postgres} (here)`) : postgres)).join('  ')}`;
  });
  return [`  ${style.dim(`${plural(available.length, 'version')} in the registry`)}`, ...lines].join('\n');
}

export function engineAddView(result: EngineAddResult, style: Style): string {
  const name = style.strong(`PostgreSQL ${result.postgres}`);
  if (result.alreadyHere) return `${style.ok} ${name} was here already  ${style.dim(result.path)}`;
  const resumed = result.resumedBytes > 0 ? `, ${size(result.resumedBytes)} of it before` : '';
  const fetched = `${size(result.fetchedBytes)} fetched${resumed}, ${duration(result.totalMs)}`;
  return `${style.ok} ${name} is here  ${style.dim(fetched)}\n  ${style.dim(result.path)}`;
}

export function engineRemoveView({ removed, freedBytes }: EngineRemoveResult, style: Style): string {
  const names = [...new Set(removed.map(({ postgres }) => postgres))].join(', ');
  return `${style.ok} ${style.strong(`PostgreSQL ${names}`)} removed  ${style.dim(`${size(freedBytes)} freed`)}`;
}
