/** The cases of test/session-state/switch-cursors-sequences.test.ts, with the server itself restarted under another minor version. */
import { useInPlace } from '../support/switching.js';

useInPlace();
await import('../session-state/switch-cursors-sequences.test.js');
