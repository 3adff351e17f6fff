/** Commands that keys have started: each is the command line's own process, and ends as that says. */
import type { Message, Notice } from './model.js';

/** How a command ended: its exit code, and the one object that --json prints. */
export interface CommandEnd {
  readonly code: number | null;
  readonly json: Readonly<Record<string, unknown>> | null;
}

export interface RunningCommand {
  readonly end: Promise<CommandEnd>;
  /** Ctrl-C. */
  stop(): void;
}

const SHOWN_MS = 15_000;

export class Tasks {
  readonly #run: (args: readonly string[]) => RunningCommand;
  readonly #tell: (message: Message) => void;
  readonly #running = new Map<number, RunningCommand>();
  #nextId = 1;

  constructor(run: (args: readonly string[]) => RunningCommand, tell: (message: Message) => void) {
    this.#run = run;
    this.#tell = tell;
  }

  start(args: readonly string[]): void {
    const id = this.#nextId++;
    const running = this.#run(args);
    this.#running.set(id, running);
    this.#tell({ type: 'task', task: { id, args, sinceMs: Date.now() } });
    void running.end.then((end) => {
      this.#running.delete(id);
      const errorCode = typeof end.json?.['code'] === 'string' ? end.json['code'] : null;
      this.#tell({ type: 'task-ended', id, errorCode, notice: noticeOf(args, end) });
    });
  }

  stop(id: number): void {
    this.#running.get(id)?.stop();
  }

  /** An operation goes on to its end without us; a load ends. */
  close(): void {
    for (const running of this.#running.values()) running.stop();
  }
}

export function noticeOf(args: readonly string[], { code, json }: CommandEnd): Notice {
  const command = `dbproxy ${args.join(' ')}`;
  const untilMs = Date.now() + SHOWN_MS;
  if (json?.['schema'] === 'dbproxy.error/1') {
    const [next] = json['suggestions'] as readonly string[];
    const text = `✖ ${String(json['message'])}${next === undefined ? '' : ` · try: ${next}`}`;
    return { text, tone: 'bad', untilMs };
  }
  const summary = json ? inWords(json) : '';
  if (code === 0) return { text: `✔ ${command}${summary}`, tone: 'good', untilMs };
  return { text: `✖ ${command} ended with ${code ?? 'a signal'}${summary}`, tone: 'bad', untilMs };
}

interface Figures {
  readonly sessions?: { readonly moved?: number; readonly handed?: number };
  readonly holdMs?: { readonly max: number };
  readonly tps?: number;
  readonly latencyMs?: { readonly p99?: number };
  readonly failed?: number;
  readonly conflicts?: number;
  readonly lostUpdates?: number;
  readonly diverged?: boolean;
  readonly error?: { readonly message: string } | null;
}

/** The figure or two that somebody who pressed a key wants to see. */
function inWords(json: Figures): string {
  if (json.error) return `: ${json.error.message}`;
  if (json.lostUpdates !== undefined)
    return `: ${json.conflicts ?? 0} conflicts, lost updates ${json.lostUpdates}, diverged ${json.diverged ? 'yes' : 'no'}`;
  const { sessions, holdMs, tps, latencyMs } = json;
  const moved = sessions?.moved ?? sessions?.handed;
  if (moved !== undefined && holdMs) return `: ${moved} sessions, held ${holdMs.max.toFixed(1)} ms at most`;
  if (tps !== undefined)
    return `: ${Math.round(tps)} tps, p99 ${latencyMs?.p99?.toFixed(1) ?? '–'} ms, ${json.failed ?? 0} failed`;
  return '';
}
