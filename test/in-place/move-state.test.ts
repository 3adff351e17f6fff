/** The cases of test/proxy/move-state.test.ts, with the server itself restarted under another minor version. */
import { useInPlace } from '../support/switching.js';

useInPlace();
await import('../proxy/move-state.test.js');
