/** `status` for people: what does not fit is cut to the terminal, and to nothing else. */
import { expect, it } from 'vitest';
import { makeStyle } from '../../src/cli/style.js';
import { statusView } from '../../src/cli/views/status.js';
import type { StorageNodeStatus } from '../../src/control/api.js';
import { status } from '../tui/model-fixtures.js';

const reason =
  'connect ECONNREFUSED 10.20.30.40:2379, and of the other members of the cluster nobody leads: ask whoever runs it';
const away: StorageNodeStatus = {
  ...{ id: '10.20.30.40:2379', pid: null, state: 'stopped', reason, logBytes: null, position: null },
  ...{ syncs: null, undecided: null, epoch: null, delayMs: null },
};
const shown = (width?: number): string =>
  statusView(
    status([], {
      store: {
        ...{ etcd: 'etcd://10.20.30.40/shop', quorums: { nodes: 3, fast: 3, classic: 2 } },
        ...{ policy: 'first', epoch: 1, nodes: [away] },
      },
    }),
    makeStyle(0),
    width,
  );

it('a pipe gets the whole reason of a store that is away', () => {
  expect(shown()).toContain(`stopped: ${reason}`);
});

it('a terminal gets what it has room for', () => {
  expect(shown(200)).toContain(`stopped: ${reason}`);
  const narrow = shown(100).split('\n');
  const line = narrow.find((each) => each.includes(away.id));
  expect(line).toMatch(/ stopped: connect ECONNREFUSED .*…/);
  expect(line?.length).toBeLessThanOrEqual(100);
});
