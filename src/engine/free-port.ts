/** A TCP port of a host that nobody listens on at the moment: whoever uses it finds out if it was taken since. */
import { createServer, type AddressInfo } from 'node:net';
import { DbproxyError } from '../errors/index.js';

/** Throws DBP_INTERNAL. */
export function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (cause) =>
      reject(new DbproxyError('DBP_INTERNAL', { reason: `no free port: ${cause.message}` }, { cause })),
    );
    server.listen(0, host, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
