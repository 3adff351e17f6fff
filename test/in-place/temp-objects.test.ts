/** The cases of test/session-state/switch-temp-objects.test.ts, with the server itself restarted under another minor version. */
import { useInPlace } from '../support/switching.js';

useInPlace();
await import('../session-state/switch-temp-objects.test.js');
