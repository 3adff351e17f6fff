/** Of several writers: a line for them, one for the storage nodes. What they decide is among the events. */
import type { StorageNodeStatus, WriterStatus } from '../../control/api.js';
import type { Model } from '../model.js';
import { clip, span, widthOfLine, type Line, type Span } from '../text.js';

export function writersView({ status }: Pick<Model, 'status'>, width: number): Line[] {
  if (!status?.store) return [];
  const { etcd, nodes, quorums, policy, epoch } = status.store;
  const wide = width >= 80;
  const votes = `${quorums.nodes}/${quorums.fast}/${quorums.classic}, ${policy}`;
  const sizes = `${etcd === null ? votes : 'etcd'}, epoch ${epoch}`;
  return [
    ofWriters(status.writers, width),
    [
      span('store    ', 'title'),
      ...nodes.flatMap((node) => ofNode(node)),
      ...(wide ? [span(sizes, 'dim')] : []),
    ],
  ];
}

/** With as much of each as lets all of them be seen. */
function ofWriters(writers: readonly WriterStatus[], width: number): Line {
  const told = (much: Much): Line => [
    span('writers  ', 'title'),
    ...writers.flatMap((writer) => ofWriter(writer, much)),
  ];
  const fits = (line: Line): boolean => widthOfLine(line) - GAP.length <= width;
  return (['engine', 'port', 'state'] as const).map(told).find(fits) ?? told('sign');
}

type Much = 'engine' | 'port' | 'state' | 'sign';
const GAP = '   ';

function ofWriter({ id, port, state, leads, engine }: WriterStatus, much: Much): Span[] {
  const isWell = state === 'running' || state === 'operating';
  const where = { engine: ` :${port} ${engine ?? ''}`, port: ` :${port}`, state: '', sign: '' }[much];
  const sign = isWell ? '✔' : `✖ ${state}`;
  return [
    span(id, 'strong'),
    span(leads ? ' primary' : '', 'accent'),
    span(where, 'dim'),
    span(` ${much === 'sign' ? sign : state}${GAP}`, isWell ? 'good' : 'bad'),
  ];
}

const ofNode = ({ id, state, delayMs, reason }: StorageNodeStatus): Span[] => {
  const isWell = state === 'in-service';
  if (delayMs !== null) return [span(id, 'strong'), span(` late by ${delayMs} ms   `, 'warn')];
  const why = isWell || reason === null ? '' : ` ${clip(reason, 30)}`;
  return [span(id, 'strong'), span(isWell ? ' ✔   ' : ` ✖ ${state}${why}   `, isWell ? 'good' : 'bad')];
};
