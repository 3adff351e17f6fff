import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { describePortHolder, findFreePort } from '../../src/control/port-holder.js';

describe('who holds a port', () => {
  test('our own process is found by its listening socket; the next free port is another one', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    try {
      if (process.platform === 'linux') {
        expect(await describePortHolder(port)).toContain(`(pid ${process.pid})`);
      }
      const free = await findFreePort('127.0.0.1', port - 1);
      expect(free).toBeGreaterThan(port);
    } finally {
      server.close();
    }
  });

  test('a port that nobody listens on has no known holder', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    expect(await describePortHolder(port)).toBe('another process');
  });
});
