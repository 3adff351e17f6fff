/** The top: one row for each engine, with what it takes and what it does. */
import type { EngineStatus } from '../../control/api.js';
import { count, percent, size } from '../../cli/format.js';
import type { EngineHistory, Model } from '../model.js';
import { NO_SERIES } from '../series.js';
import { sparkline } from '../sparkline.js';
import { span, type Line, type Tone } from '../text.js';
import { TableLayout, type Column } from './table.js';

interface Row extends EngineStatus {
  readonly history: EngineHistory | undefined;
}

const ROLES: Readonly<Record<string, Tone>> = { primary: 'strong', standby: 'accent' };

const columnsFor = (width: number): readonly Column<Row>[] => [
  { head: 'engine', width: 6, cell: ({ id }) => span(id, 'strong') },
  { head: 'role', width: 8, cell: ({ role }) => span(role, ROLES[role] ?? 'dim') },
  { head: 'size', width: 6, cell: (engine) => span(engine.size) },
  { head: 'postgres', width: 8, from: 80, cell: ({ postgres }) => span(postgres) },
  { head: 'pg', width: 6, cell: ({ postgres }) => span(postgres) },
  {
    head: 'state',
    width: 12,
    from: 120,
    cell: ({ state }) => span(state, state === 'running' ? 'good' : 'bad'),
  },
  { head: 'cpu', width: 6, align: 'right', cell: ({ cpuPercent }) => span(percent(cpuPercent)) },
  { head: '', width: barsFor(width), from: 120, cell: ({ history }, room) => trend(history?.cpu, room) },
  { head: 'memory', width: 7, align: 'right', cell: ({ memoryBytes }) => span(size(memoryBytes)) },
  { head: '', width: barsFor(width), from: 160, cell: ({ history }, room) => trend(history?.memory, room) },
  { head: 'conn', width: 4, align: 'right', cell: ({ connections }) => span(count(connections)) },
  {
    head: '',
    width: barsFor(width),
    from: 180,
    cell: ({ history }, room) => trend(history?.connections, room),
  },
  { head: 'tps', width: 6, align: 'right', cell: ({ tps }) => span(count(tps), 'strong') },
  { head: '', width: 0, cell: ({ history }, room) => trend(history?.tps, Math.min(room, 60)) },
];

const barsFor = (width: number): number => (width >= 180 ? 16 : 12);
const trend = (series = NO_SERIES, width: number) => span(sparkline(series.values, width), 'accent');

export function enginesView({ status, engines }: Model, width: number, most: number): Line[] {
  const columns = columnsFor(width).filter(({ head }) => (width >= 80 ? head !== 'pg' : head !== 'postgres'));
  const table = new TableLayout(columns, width);
  const rows = (status?.engines ?? []).slice(-most);
  const lines = rows.map((engine) => table.row({ ...engine, history: engines.get(engine.id) }));
  return [table.head, ...(lines.length > 0 ? lines : [[span('no engines', 'dim')]])];
}
