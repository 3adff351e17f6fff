/** A session that listens and is notified, by itself: a registration that was lost is silence. */
import { StateLost } from '../taxonomy.js';
import type { Probe } from './probe.js';

/** A notification of one's own comes with the answer to the NOTIFY. */
const BOUND_MS = 5_000;

export const listenNotify: Probe = {
  name: 'listen-notify',
  summary: 'LISTEN on two channels; each transaction notifies one of them and waits for it',
  open: async ({ client, context: { clientId } }) => {
    const channels = [`probe_${clientId}_a`, `probe_${clientId}_b`];
    // eslint-disable-next-line dbproxy/sql-quoting -- letters and digits
    for (const channel of channels) await client.query(`LISTEN ${channel}`);
    let count = 0;
    return async () => {
      const channel = channels[count % channels.length] ?? '';
      const payload = String(++count);
      const heard = waitFor();
      try {
        // eslint-disable-next-line dbproxy/sql-quoting -- letters and digits
        await client.query(`NOTIFY ${channel}, '${payload}'`);
        if (!(await heard.until))
          throw new StateLost(`channel ${channel} is silent: notification ${payload} did not come`);
      } finally {
        heard.end();
      }

      function waitFor(): { until: Promise<boolean>; end: () => void } {
        let end = (): void => {};
        const until = new Promise<boolean>((resolve) => {
          const bound = setTimeout(() => resolve(false), BOUND_MS);
          const listener = (message: { channel: string; payload?: string | undefined }): void => {
            if (message.channel === channel && message.payload === payload) resolve(true);
          };
          client.on('notification', listener);
          end = () => {
            clearTimeout(bound);
            client.off('notification', listener);
          };
        });
        return { until, end };
      }
    };
  },
};
