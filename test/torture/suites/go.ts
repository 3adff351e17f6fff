/** The test suites of Go's clients, lib/pq and pgx, as Debian's packages carry them. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PASSWORD } from '../../support/engines.js';
import { CACHE, binaryPackages } from '../packages.js';
import type { Leg } from '../leg.js';
import { NO_END, type Known, type Outcomes, type Suite } from '../suites.js';

const PQ = '1.10.7-2';
const PGX = '4.15.0-4';
const PINNED = ['golang-1.19-go', `golang-github-lib-pq-dev=${PQ}`, `golang-github-jackc-pgx-v4-dev=${PGX}`];
const LIMIT = '-timeout=900s';
/** Of tests that differ, all together. */
const REPEATS = ['-count=20', '-timeout=120s'];

interface Event {
  readonly Action: string;
  readonly Package: string;
  readonly Test?: string;
}

const goSuite = (
  name: string,
  version: string,
  path: string,
  database: string,
  known: Suite['known'] = [],
): Suite => {
  const run = async (leg: Leg, ...flags: readonly string[]): Promise<Outcomes> => {
    const root = binaryPackages('go', PINNED, /^golang-/);
    await leg.administer('postgres', `create database ${database}`);
    const { PGHOST: host, PGPORT: port } = leg.environment;
    const url = `host=${host} port=${port} user=postgres password='${PASSWORD}' database=${database} sslmode=disable`;
    const go = spawn(join(root, 'usr/lib/go-1.19/bin/go'), ['test', '-json', '-p=1', ...flags, path], {
      cwd: CACHE,
      stdio: ['ignore', 'pipe', 'ignore'],
      env: {
        ...process.env,
        ...leg.environment,
        PGDATABASE: database,
        PGSSLMODE: 'disable',
        PGX_TEST_DATABASE: url,
        GOROOT: join(root, 'usr/lib/go-1.19'),
        GOPATH: join(root, 'usr/share/gocode'),
        GOCACHE: join(CACHE, 'go-build'),
        GO111MODULE: 'off',
        CGO_ENABLED: '0',
      },
    });
    const ends = new Map<string, Set<string>>();
    const open = new Set<string>();
    for await (const line of createInterface(go.stdout)) {
      if (!line.startsWith('{')) throw new Error(`go test ${path}: ${line}`);
      const { Action: action, Test: test } = JSON.parse(line) as Event;
      if (test === undefined) continue;
      if (action === 'run') open.add(test);
      if (!['pass', 'fail', 'skip'].includes(action)) continue;
      open.delete(test);
      ends.set(test, (ends.get(test) ?? new Set()).add(action));
    }
    for (const test of open) ends.set(test, (ends.get(test) ?? new Set()).add(NO_END));
    return new Map([...ends].map(([test, each]) => [test, [...each].join(', ')]));
  };
  const only = (tests: readonly string[]): string =>
    `^(${[...new Set(tests.map((test) => test.split('/')[0]))].join('|')})$`;
  return {
    name,
    version,
    probability: 0.3,
    known,
    run: (leg) => run(leg, '-count=1', LIMIT),
    repeat: (leg, tests) => run(leg, ...REPEATS, `-run=${only(tests)}`),
  };
};

/** They end a session by a process id that is no backend of the engine, or not any more. */
const terminates = (test: string, which: string): Known => ({
  test,
  straight: /^pass$/,
  tortured: /^fail$/,
  why: `pg_terminate_backend() of ${which}`,
});
const OURS = "the process id in BackendKeyData, which is the proxy's own, because an engine's changes";

export const pq = goSuite('lib/pq', PQ, 'github.com/lib/pq', 'pqgotest', [
  terminates('TestPing', 'what pg_backend_pid() told before a move'),
]);
export const pgx = goSuite('pgx', PGX, 'github.com/jackc/pgx/v4', 'pgx_test', [
  terminates('TestFatalRxError', OURS),
  terminates('TestFatalTxError', OURS),
]);
