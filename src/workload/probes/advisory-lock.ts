/** An advisory lock of the session, which must still be granted to it, exactly as often as it took it. */
import { expectSame, type Probe } from './probe.js';

/** 'dbpr': keeps out of the way of an application's keys. */
const CLASS = 0x64627072;

export const advisoryLock: Probe = {
  name: 'advisory-lock',
  summary: 'a session-level advisory lock, looked up in pg_locks in each transaction',
  open: async ({ client, context: { clientId } }) => {
    const mine = `locktype = 'advisory' AND granted AND pid = pg_backend_pid()
      AND classid = ${CLASS} AND objid = ${clientId} AND objsubid = 2
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
    await client.query(`SELECT pg_advisory_unlock(${CLASS}, ${clientId}) FROM pg_locks WHERE ${mine}`);
    await client.query(`SELECT pg_advisory_lock(${CLASS}, ${clientId})`);
    return async () => {
      const { rows } = await client.query<{ held: number }>(
        `SELECT count(*)::int AS held FROM pg_locks WHERE ${mine}`,
      );
      expectSame('advisory locks held', rows[0]?.held, 1);
    };
  },
};
