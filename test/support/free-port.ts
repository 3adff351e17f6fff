/**
 * A TCP port of loopback that nobody listens on, and that nobody else is given: each worker of the tests has ports of its own, which it
 * gives away in turn. They lie below those that the kernel takes for connections (ip_local_port_range), one of which could have it
 * before it is used.
 */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

const FIRST = 20_000;
const WORKERS = 8;
const PORTS_EACH = 1_500;
/** The writers of an instance take those that follow. */
const STEP = 10;

const base = FIRST + (Number(process.env.VITEST_POOL_ID ?? 0) % WORKERS) * PORTS_EACH;
let next = randomInt(PORTS_EACH / STEP) * STEP;

export async function freePort(): Promise<number> {
  for (let tried = 0; tried < PORTS_EACH; tried += STEP) {
    const port = base + next;
    next = (next + STEP) % PORTS_EACH;
    if (await isFree(port)) return port;
  }
  throw new Error(`all ports of this worker, from ${base} on, are taken`);
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
