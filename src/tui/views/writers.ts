/** Of several writers: a line for them, one for the storage nodes. What they decide is among the events. */
import type { StorageNodeStatus, WriterStatus } from '../../control/api.js';
import type { Model } from '../model.js';
import { clip, span, type Line, type Span } from '../text.js';

export function writersView({ status }: Pick<Model, 'status'>, width: number): Line[] {
  if (!status?.store) return [];
  const { etcd, nodes, quorums, policy, epoch } = status.store;
  const wide = width >= 80;
  const votes = `${quorums.nodes}/${quorums.fast}/${quorums.classic}, ${policy}`;
  const sizes = `${etcd === null ? votes : 'etcd'}, epoch ${epoch}`;
  return [
    [span('writers  ', 'title'), ...status.writers.flatMap((writer) => ofWriter(writer, wide))],
    [
      span('store    ', 'title'),
      ...nodes.flatMap((node) => ofNode(node)),
      ...(wide ? [span(sizes, 'dim')] : []),
    ],
  ];
}

const ofWriter = ({ id, port, state, leads, engine }: WriterStatus, wide: boolean): Span[] => [
  span(id, 'strong'),
  span(leads ? ' primary' : '', 'accent'),
  span(wide ? ` :${port} ${engine ?? ''}` : ` :${port}`, 'dim'),
  span(` ${state}   `, state === 'running' || state === 'operating' ? 'good' : 'bad'),
];

const ofNode = ({ id, state, delayMs, reason }: StorageNodeStatus): Span[] => {
  const isWell = state === 'in-service';
  if (delayMs !== null) return [span(id, 'strong'), span(` late by ${delayMs} ms   `, 'warn')];
  const why = isWell || reason === null ? '' : ` ${clip(reason, 30)}`;
  return [span(id, 'strong'), span(isWell ? ' ✔   ' : ` ✖ ${state}${why}   `, isWell ? 'good' : 'bad')];
};
