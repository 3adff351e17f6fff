/** The cases of test/conformance/clients.test.ts, with the server itself restarted under another minor version. */
import { useInPlace } from '../support/switching.js';

useInPlace();
await import('../conformance/clients.test.js');
