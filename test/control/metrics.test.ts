/** Figures for Prometheus: asked for over HTTP as Prometheus does, while an instance works. */
import { createServer } from 'node:http';
import { once } from 'node:events';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startInstance, stopInstance } from '../../src/control/client.js';
import { replaceSelf } from '../../src/control/replace-self.js';
import { freePort, LiveHome, processesBelow } from './live.js';

let live: LiveHome;
beforeAll(async () => {
  live = await LiveHome.open();
});
afterAll(() => live.close());

/** Values by name and labels, in the text format of Prometheus. */
const scrape = async (port: number): Promise<Map<string, number>> => {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const [, name = '', value] = /^(\w+(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
      return [name, Number(value)];
    }),
  );
};

test('what Prometheus gets, before and after a handover; other paths; a port that is taken; none without asking', async () => {
  const metricsPort = await freePort();
  const { url, port } = await live.up('figures', { metricsPort });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('begin');
  const figures = await scrape(metricsPort);
  const own = 'instance_name="figures"';
  expect(figures.get(`dbproxy_up{${own}}`)).toBe(1);
  expect(figures.get(`dbproxy_sessions{state="in tx",${own}}`)).toBe(1);
  expect(figures.get(`dbproxy_sessions{state="active",${own}}`)).toBe(0);
  expect(figures.get(`dbproxy_engine_up{engine="e1",role="primary",${own}}`)).toBe(1);
  expect(figures.get(`dbproxy_engine_memory_bytes{engine="e1",role="primary",${own}}`)).toBeGreaterThan(1e6);
  expect(figures.get(`dbproxy_proxy_generation{${own}}`)).toBe(1);
  const sessions = figures.get(`dbproxy_sessions_total{${own}}`) ?? 0;
  expect(sessions).toBeGreaterThanOrEqual(1);
  // Refused logins are counted.
  const refused = new pg.Client({ connectionString: url.replace(/:[^:@/]*@/, ':wrong@') });
  await expect(refused.connect()).rejects.toMatchObject({ code: '28P01' });
  expect((await scrape(metricsPort)).get(`dbproxy_failed_logins_total{${own}}`)).toBe(1);

  await replaceSelf('figures', () => undefined);
  const later = await scrape(metricsPort);
  expect(later.get(`dbproxy_proxy_generation{${own}}`)).toBe(2);
  expect(later.get(`dbproxy_sessions{state="in tx",${own}}`)).toBe(1);
  await client.query('commit');
  await client.end();

  const at = `http://127.0.0.1:${metricsPort}`;
  expect((await fetch(at)).status).toBe(404);
  expect((await fetch(`${at}/metrics`, { method: 'POST' })).status).toBe(405);

  await expect(live.up('figures', { metricsPort: metricsPort + 1 })).rejects.toMatchObject({
    code: 'DBP_INSTANCE_SETTINGS_DIFFER',
  });
  await stopInstance('figures');
  await expect(fetch(`${at}/metrics`)).rejects.toThrow();
  const server = createServer().listen(metricsPort, '127.0.0.1');
  await once(server, 'listening');
  await expect(startInstance({ name: 'figures' })).rejects.toMatchObject({ code: 'DBP_ENV_METRICS_PORT' });
  expect(await processesBelow(live.home)).toEqual([]);
  // Without them it starts, and nobody listens there.
  expect(await startInstance({ name: 'figures', metricsPort: 0 })).toMatchObject({ port });
  server.close();
  server.closeAllConnections();
  await expect(fetch(`${at}/metrics`)).rejects.toThrow();
}, 120_000);
