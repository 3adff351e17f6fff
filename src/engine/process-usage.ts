/**
 * CPU and memory of an engine: its postmaster and all of the postmaster's children.
 *
 * CPU counts the children that have ended too (the kernel adds their time to the postmaster once it collects them).
 * Memory: private pages of every process, and shared memory once, as large as the process that has touched most of it;
 * proportional figures (smaps) would be exact, but walk the page tables of a thousand backends.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { isSameProcess, readProcessStat, type ProcessStat } from './process-identity.js';
import type { EngineUsage, ProcessIdentity } from './types.js';

/** USER_HZ: what the kernel shows to programs is 100 on every architecture that PostgreSQL's packages exist for. */
const TICKS_PER_SECOND = 100;
const KIB = 1024;

interface Sample {
  readonly cpuMs: number;
  readonly memoryBytes: number;
}

/** Remembers the last sample of each process tree, so that each call reports the time since the one before. */
export class UsageMeter {
  readonly #last = new Map<string, { readonly cpuMs: number; readonly atMs: number }>();

  /** Usage of the tree below a postmaster; null when it does not run. The first call reports no CPU. */
  usage(postmaster: ProcessIdentity): EngineUsage | null {
    const key = `${postmaster.pid}/${postmaster.startTime}`;
    const sample = isSameProcess(postmaster) ? sampleTree(postmaster.pid) : null;
    if (sample === null) {
      this.#last.delete(key);
      return null;
    }
    const atMs = performance.now();
    const last = this.#last.get(key);
    this.#last.set(key, { cpuMs: sample.cpuMs, atMs });
    const cpuPercent =
      last === undefined || atMs <= last.atMs
        ? 0
        : (Math.max(0, sample.cpuMs - last.cpuMs) / (atMs - last.atMs)) * 100;
    return { cpuPercent, memoryBytes: sample.memoryBytes };
  }
}

function sampleTree(rootPid: number): Sample | null {
  return process.platform === 'linux' ? sampleProc(rootPid) : samplePs(rootPid);
}

function sampleProc(rootPid: number): Sample | null {
  const tree = readTree(rootPid);
  if (tree === null) return null;
  const { root, children } = tree;
  let ticks = root.ownTicks + root.childrenTicks;
  for (const { stat } of children) ticks += stat.ownTicks;

  let privateBytes = 0;
  let sharedBytes = 0;
  let fileBytes = 0;
  for (const pid of [rootPid, ...children.map((child) => child.pid)]) {
    const status = readResident(pid);
    privateBytes += status.anonymous;
    sharedBytes = Math.max(sharedBytes, status.shared);
    fileBytes = Math.max(fileBytes, status.file);
  }
  return {
    cpuMs: (ticks / TICKS_PER_SECOND) * 1000,
    memoryBytes: privateBytes + sharedBytes + fileBytes,
  };
}

type Child = { readonly pid: number; readonly stat: ProcessStat };

/**
 * The postmaster and its children (all of PostgreSQL's processes are direct ones). When a child is collected between the
 * two readings its time is in neither: then both are read again.
 */
function readTree(rootPid: number): { root: ProcessStat; children: Child[] } | null {
  for (let attempt = 1; ; attempt++) {
    const before = readProcessStat(rootPid);
    const children = childrenOf(rootPid);
    const root = readProcessStat(rootPid);
    if (before === null || root === null) return null;
    if (before.childrenTicks === root.childrenTicks || attempt === 3) return { root, children };
  }
}

function childrenOf(parentPid: number): Child[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), stat: readProcessStat(Number(name)) }))
    .filter((entry): entry is Child => entry.stat?.parentPid === parentPid);
}

function readResident(pid: number): { anonymous: number; shared: number; file: number } {
  let text = '';
  try {
    text = readFileSync(`/proc/${pid}/status`, 'latin1');
  } catch {
    // It ended since it was listed: it holds nothing any more.
  }
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * KIB;
  return { anonymous: field('RssAnon'), shared: field('RssShmem'), file: field('RssFile') };
}

/** `ps` cannot tell shared from private pages: the postmaster's resident size is taken as the shared part of each. */
function samplePs(rootPid: number): Sample | null {
  const ps = spawnSync('ps', ['-axo', 'pid=,ppid=,rss=,time='], { encoding: 'utf8', timeout: 5_000 });
  const rows = (ps.stdout ?? '').split('\n').flatMap((line) => {
    const [pid, parentPid, rss, time] = line.trim().split(/\s+/);
    return time === undefined
      ? []
      : [
          {
            pid: Number(pid),
            parentPid: Number(parentPid),
            rssBytes: Number(rss) * KIB,
            cpuMs: parseTime(time),
          },
        ];
  });
  const root = rows.find((row) => row.pid === rootPid);
  if (root === undefined) return null;
  const children = rows.filter((row) => row.parentPid === rootPid);
  return children.reduce(
    (sum, row) => ({
      cpuMs: sum.cpuMs + row.cpuMs,
      memoryBytes: sum.memoryBytes + Math.max(0, row.rssBytes - root.rssBytes),
    }),
    { cpuMs: root.cpuMs, memoryBytes: root.rssBytes },
  );
}

/** `[[dd-]hh:]mm:ss[.cc]` of ps(1), in ms. */
function parseTime(text: string): number {
  const [clock = '', days = '0'] = text.split('-').reverse();
  const seconds = clock.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
  return (Number(days) * 86_400 + seconds) * 1000;
}
