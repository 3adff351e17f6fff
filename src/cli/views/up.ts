/** `up` and `down` for people. */
import type { DownResult, UpResult } from '../../control/api.js';
import { duration, withoutPassword } from '../format.js';
import type { Style } from '../style.js';
import { facts } from '../table.js';

export function upView(result: UpResult, style: Style): string {
  const primary = result.engines.find(({ role }) => role === 'primary') ?? result.engines[0];
  const state = result.alreadyRunning ? 'was already running' : 'is ready';
  const took = result.alreadyRunning ? '' : `  ${style.dim(duration(result.readyMs))}`;
  const engines = result.engines.map(
    ({ id, role, size, postgres, pid, container }) =>
      `${id}  ${role}, ${size}, PostgreSQL ${postgres}${style.dim(pid === null ? `  container ${container}` : `  pid ${pid}`)}`,
  );
  return [
    `${style.ok} ${style.strong(result.instance)} ${state}${took}`,
    '',
    facts(
      [
        ['connect', style.accent(result.url)],
        ...engines.map((line, index) => [index === 0 ? 'engine' : '', line] as const),
        [
          'proxy',
          `${result.host}:${result.port}${style.dim(`  pid ${(result.proxy.pids ?? [result.proxy.pid]).join(', ')}`)}`,
        ],
        ['tls', tlsLine(result)],
        ...(result.writers.length > 1 ? result.writers : []).map(
          ({ id, instance, url, port }, index) =>
            [
              index === 0 ? 'writers' : '',
              `${id}  ${style.accent(withoutPassword(url))}${style.dim(`  port ${port}, --name ${instance}`)}`,
            ] as const,
        ),
        ['provider', style.dim(result.providerReason)],
        ['data', primary ? result.dataDir : undefined],
      ],
      style,
    ),
  ].join('\n');
}

const tlsLine = ({ tls }: UpResult): string | undefined =>
  tls === 'off' ? undefined : tls === 'required' ? 'required over TCP' : 'for clients that ask for it';

export function downView(result: DownResult, style: Style): string {
  const { instance, wasRunning, purged, stopped } = result;
  if (!wasRunning && !purged) return `${style.ok} ${style.strong(instance)} was not running`;
  const what = purged ? 'stopped, its data removed' : 'stopped, its data kept';
  const detail = stopped.length === 0 ? '' : `  ${style.dim(stopped.join(', '))}`;
  return `${style.ok} ${style.strong(instance)} ${what}${detail}`;
}
