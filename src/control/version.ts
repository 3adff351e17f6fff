/** The version of this program, from its package.json (two directories up, in src/ as in dist/). */
import { createRequire } from 'node:module';

export const VERSION = (createRequire(import.meta.url)('../../package.json') as { version: string }).version;
