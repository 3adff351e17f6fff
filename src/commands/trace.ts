/** `dbproxy trace`: the messages of the sessions, as they pass the proxy. */
import { boolean } from '@oclif/core/flags';
import { durationFlag } from '../cli/flags.js';
import { InstanceCommand } from '../cli/instance-command.js';
import { sessionArgument } from '../cli/session-argument.js';
import type { JsonResult } from '../cli/output.js';
import { traceView } from '../cli/views/trace.js';
import type { TraceLine } from '../control/api.js';

interface TraceResult extends JsonResult {
  readonly schema: 'dbproxy.trace/1';
  readonly instance: string;
  /** Null: all sessions. */
  readonly session: number | null;
  readonly messages: number;
  /** Passed while this command was too slow to take them. */
  readonly missed: number;
}

export default class Trace extends InstanceCommand<typeof Trace, TraceResult> {
  static override summary = 'the protocol messages of one session, or of all, as they pass';
  static override description =
    'In the form of the trace of libpq (PQtrace): time, F for the client or B for the engine, bytes, message, fields; before F or B the ' +
    'number of the session where it is about all. What users bind, copy and read is told as … unless --values is given; the text ' +
    'of statements is always there. Goes on until Ctrl-C, the end of that session, or the end of --for, through moves and changes of the ' +
    'proxy. With --json one object a line, `dbproxy.trace-line/1`, and the counts at the end.';
  static override examples = [
    '<%= config.bin %> trace --for 1s',
    '<%= config.bin %> trace 7 --values',
    '<%= config.bin %> trace --json --for 1s',
  ];
  static override args = {
    session: sessionArgument({}),
  };
  static override flags = {
    values: boolean({ description: 'also the values that are bound, copied and read' }),
    timestamps: boolean({ default: true, allowNo: true, description: 'begin each line with the time' }),
    for: durationFlag({ description: 'end by itself after this time' }),
  };

  protected override async execute(): Promise<TraceResult> {
    const { session } = this.args;
    const { values, for: forMs } = this.flags;
    // An instance whose supervisor has died is repaired first.
    await this.ask('sessions', {});
    const { trace } = await import('../control/trace.js');
    const signal =
      forMs === undefined ? this.signal : AbortSignal.any([this.signal, AbortSignal.timeout(forMs)]);
    let messages = 0;
    let missed = 0;
    await trace(this.instance, {
      session,
      values,
      signal,
      onAway: () => this.out.note('the proxy is being replaced'),
      onLines: (told) => {
        messages += told.lines.length;
        missed += told.missed;
        if (told.missed > 0) this.out.note(`${told.missed} messages passed too quickly to be told`);
        for (const line of told.lines) this.#print(line);
      },
    });
    return {
      schema: 'dbproxy.trace/1',
      instance: this.instance,
      session: session ?? null,
      messages,
      missed,
    };
  }

  protected override show({ messages, session }: TraceResult): void {
    // What passed was told as it passed.
    if (messages > 0) return;
    const whose = session === null ? 'no client said anything' : `session ${session} said nothing`;
    this.out.note(`${whose} meanwhile`);
  }

  protected override afterInterruption(): string {
    return 'no longer tracing';
  }

  #print(line: TraceLine): void {
    const { session, atMs, ...message } = line;
    const told = {
      schema: 'dbproxy.trace-line/1' as const,
      session,
      at: new Date(atMs).toISOString(),
      ...message,
    };
    if (this.out.json) this.out.result(told);
    else
      this.out.data(
        traceView(line, { session: this.args.session === undefined, time: this.flags.timestamps }),
      );
  }
}
