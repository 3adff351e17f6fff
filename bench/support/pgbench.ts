/** One run of pgbench and its numbers. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { percentileOf } from '../../src/workload/histogram.js';

const run = promisify(execFile);

export interface PgbenchOptions {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly clients: number;
  readonly protocol: 'prepared' | 'simple';
  readonly seconds: number;
  /** Before them: its transactions count for the rate, not for the latencies. Default: 0. */
  readonly warmupSeconds?: number;
  /** A file in place of select-only (-S). */
  readonly script?: { readonly file: string; readonly scale: number };
  /** Transactions per second of an open loop. */
  readonly rate?: number;
  /** The part of the transactions that is logged, for the percentiles. Default: a tenth. */
  readonly logged?: number;
}

export interface PgbenchResult {
  readonly transactions: number;
  readonly tps: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Latencies count from when a transaction was begun, also with a rate: what it had to wait before is taken off. */
export async function pgbench(options: PgbenchOptions): Promise<PgbenchResult> {
  const { host, port, user, password, clients, protocol, script, rate } = options;
  const { seconds, warmupSeconds = 0, logged = 0.1 } = options;
  const wholeSeconds = warmupSeconds + seconds;
  const directory = await mkdtemp(join(tmpdir(), 'dbp-pgbench-'));
  try {
    const { stdout } = await run(
      'pgbench',
      [
        ...['-n', '-M', protocol, '-c', String(clients), '-T', String(wholeSeconds)],
        ...(script ? ['-f', script.file, '-s', String(script.scale)] : ['-S']),
        ...(rate === undefined ? [] : ['-R', String(rate)]),
        ...['-l', ...(logged < 1 ? [`--sampling-rate=${logged}`] : [])],
        ...['-h', host, '-p', String(port), '-U', user, 'postgres'],
      ],
      { cwd: directory, env: { ...process.env, PGPASSWORD: password }, timeout: (wholeSeconds + 60) * 1000 },
    );
    const latencies = await readLatencies(directory, warmupSeconds);
    return {
      transactions: Number(/actually processed: (\d+)/.exec(stdout)?.[1]),
      tps: Number(/tps = ([\d.]+)/.exec(stdout)?.[1]),
      meanMs: latencies.reduce((sum, ms) => sum + ms, 0) / latencies.length,
      p50Ms: percentileOf(latencies, 50) ?? NaN,
      p99Ms: percentileOf(latencies, 99) ?? NaN,
    };
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** A line of the log: client, transaction, latency in µs, script, its end (s, µs), with a rate its lag in µs (manual, pgbench). */
async function readLatencies(directory: string, warmupSeconds: number): Promise<number[]> {
  const files = await readdir(directory);
  const texts = await Promise.all(files.map((file) => readFile(join(directory, file), 'utf8')));
  const logged = texts
    .flatMap((text) => text.trimEnd().split('\n'))
    .map((line) => line.split(' ').map(Number))
    .map(([, , latencyUs = NaN, , seconds = NaN, us = NaN, lagUs = 0]) => ({
      endS: seconds + us / 1e6,
      ms: (latencyUs - lagUs) / 1000,
    }));
  const startS = logged.reduce((first, { endS }) => Math.min(first, endS), Infinity);
  return logged.filter(({ endS }) => endS >= startS + warmupSeconds).map(({ ms }) => ms);
}
