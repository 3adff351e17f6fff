import { describe, expect, test } from 'vitest';
import {
  dbproxyHome,
  engineCache,
  instancePaths,
  runDirectoryOf,
  MAX_SOCKET_PATH_BYTES,
} from '../../src/control/paths.js';

describe('home', () => {
  test('DBPROXY_HOME wins, then XDG_STATE_HOME; root has /var/lib/dbproxy', () => {
    expect(dbproxyHome({ DBPROXY_HOME: '/x/y', XDG_STATE_HOME: '/s' }, 1000)).toBe('/x/y');
    expect(dbproxyHome({ XDG_STATE_HOME: '/s' }, 1000)).toBe('/s/dbproxy');
    expect(dbproxyHome({}, 1000)).toMatch(/\/\.local\/state\/dbproxy$/);
    expect(dbproxyHome({ XDG_STATE_HOME: '/s' }, 0)).toBe('/var/lib/dbproxy');
  });
});

describe('the cache of engines', () => {
  test('DBPROXY_CACHE wins, then DBPROXY_HOME, then XDG_CACHE_HOME; root has /var/cache/dbproxy', () => {
    const all = { DBPROXY_CACHE: '/c', DBPROXY_HOME: '/h', XDG_CACHE_HOME: '/x' };
    expect(engineCache(all, 1000)).toBe('/c');
    expect(engineCache({ ...all, DBPROXY_CACHE: undefined }, 0)).toBe('/h/cache');
    expect(engineCache({ XDG_CACHE_HOME: '/x' }, 1000)).toBe('/x/dbproxy');
    expect(engineCache({}, 1000)).toMatch(/\/\.cache\/dbproxy$/);
    expect(engineCache({ XDG_CACHE_HOME: '/x' }, 0)).toBe('/var/cache/dbproxy');
  });
});

describe('instance names', () => {
  test.each(['default', 'a', 'shop-2', 'a'.repeat(32)])('%s is allowed', (name) => {
    expect(instancePaths(name, '/h').directory).toBe(`/h/instances/${name}`);
  });
  test.each(['', '.', '..', 'a/b', 'A', '-a', '1a', 'a b', 'a'.repeat(33), 'ü'])('%j is refused', (name) => {
    expect(() => instancePaths(name, '/h')).toThrow(
      expect.objectContaining({ code: 'DBP_USAGE_INSTANCE_NAME' }),
    );
  });
});

describe('run directory', () => {
  const longest = (run: string): number =>
    Math.max(
      ...[
        'control/supervisor.sock~',
        'clients/.s.PGSQL.65535',
        'e99999/.s.PGSQL.65535',
        'control/proxy-8.sock+',
      ].map((name) => Buffer.byteLength(`${run}/${name}`)),
    );

  test('is inside of the instance while socket paths fit, byte for byte', () => {
    for (let length = 1; length < 120; length++) {
      const instance = `/${'x'.repeat(length)}`;
      const run = runDirectoryOf(instance, 7);
      expect(longest(run)).toBeLessThanOrEqual(MAX_SOCKET_PATH_BYTES);
      expect(run === `${instance}/run`).toBe(longest(`${instance}/run`) <= MAX_SOCKET_PATH_BYTES);
    }
  });

  test('bytes count, not characters', () => {
    expect(runDirectoryOf(`/${'ü'.repeat(50)}`, 7)).toMatch(/^\/tmp\/dbproxy-7-[0-9a-f]{12}$/);
  });

  test('two instances with long paths have different ones; the same path has the same one', () => {
    const [a, b] = ['a', 'b'].map((end) => runDirectoryOf(`/${'x'.repeat(100)}/${end}`, 7));
    expect(a).not.toBe(b);
    expect(runDirectoryOf(`/${'x'.repeat(100)}/a`, 7)).toBe(a);
  });
});
