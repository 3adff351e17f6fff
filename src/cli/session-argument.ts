/** The number of a session, as `sessions` tells it. */
import { custom } from '@oclif/core/args';
import { DbproxyError } from '../errors/index.js';

export const sessionArgument = custom<number>({
  description: 'the number of a session, as `sessions` tells it',
  parse: async (text) => {
    const id = /^\d{1,15}$/.test(text) ? Number(text) : 0;
    if (id > 0) return id;
    throw new DbproxyError('DBP_USAGE_UNKNOWN_SESSION', { id: text });
  },
});
