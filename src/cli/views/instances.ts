/** `status --all` for people: which instances there are. */
import type { EngineRecord } from '../../engine/types.js';
import type { Style } from '../style.js';
import { table } from '../table.js';

export interface InstanceLine {
  readonly name: string;
  readonly state: string;
  readonly port: number | null;
  readonly engines: readonly Pick<EngineRecord, 'id' | 'role' | 'size' | 'postgres'>[];
  readonly directory: string;
}

export function instancesView(instances: readonly InstanceLine[], style: Style): string {
  if (instances.length === 0) return style.dim('no instances');
  return table(
    [
      { head: 'instance' },
      { head: 'state' },
      { head: 'port', align: 'right' },
      { head: 'size' },
      { head: 'postgres' },
      { head: 'directory' },
    ],
    instances.map(({ name, state, port, engines, directory }) => {
      const primary = engines.find(({ role }) => role === 'primary');
      return [
        style.strong(name),
        state === 'running' ? style.good(state) : state === 'stopped' ? state : style.warn(state),
        port === null ? '–' : String(port),
        primary?.size ?? '–',
        primary?.postgres ?? '–',
        style.dim(directory),
      ];
    }),
    style,
  );
}
