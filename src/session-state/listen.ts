/**
 * Row 12: channels the session listens on. A standby refuses LISTEN, so it is committed on the target after promotion and
 * before any session goes on there; what was notified on the old engine until then is flushed first (session-move.ts).
 */
import { encode } from '../protocol/index.js';
import type { Rows } from './channel.js';
import type { ReplayStep, StateKindModule } from './kind.js';
import { listed, names, quoted } from './kind.js';

export const listen: StateKindModule<readonly string[]> = {
  none: [],

  *read(_context, previous) {
    const rows: Rows = yield { select: ['array(select pg_catalog.pg_listening_channels())'] };
    const channels = names(rows[0]?.[0]);
    return previous && previous.join('\0') === channels.join('\0') ? previous : channels;
  },

  summarize: (channels) =>
    channels.length === 0
      ? null
      : { count: channels.length, detail: listed(channels.length, 'LISTEN channel', channels) },

  shared: (channels) => channels.length > 0,
  counts: (channels) => ({ listens: channels.length }),
  estimate: (channels) => ({ bytes: 0, ms: channels.length * 0.1 }),

  replay: (wanted, there) => [
    ...there.filter((channel) => !wanted.includes(channel)).map((channel) => step('unlisten', channel)),
    ...wanted.filter((channel) => !there.includes(channel)).map((channel) => step('listen', channel)),
  ],
};

const step = (command: 'listen' | 'unlisten', channel: string): ReplayStep => ({
  messages: encode.query(`${command} ${quoted(channel)}`),
  ends: 'query',
  what: `${command.toUpperCase()} ${channel}`,
  onError: 'fail',
  afterPromotion: true,
});
