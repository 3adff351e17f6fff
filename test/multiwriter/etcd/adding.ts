/** Clients that add to `account`, on every writer, until they are told to stop. */
import { eventually } from '../../support/clients.js';
import { retrying, type TestCluster } from '../writer/cluster.js';

export interface Adding {
  /** More was acknowledged. */
  progressed(): Promise<void>;
  /** How many were acknowledged. */
  stop(): Promise<number>;
}

export const adding = (cluster: TestCluster, id: number): Adding => {
  let isOver = false;
  let acknowledged = 0;
  const clients = cluster.members.map(async (member) => {
    const client = await member.connect();
    while (!isOver) {
      await retrying(() => client.query(`update account set balance = balance + 1 where id = ${id}`));
      acknowledged++;
    }
    await client.end();
  });
  return {
    progressed: async () => {
      const before = acknowledged;
      await eventually('clients to go on', async () => (acknowledged > before + 5 ? true : null), 60_000);
    },
    stop: async () => {
      isOver = true;
      await Promise.all(clients);
      return acknowledged;
    },
  };
};
