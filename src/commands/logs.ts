/** `dbproxy logs`: the end of a log file of the instance. */
import { string as stringArg } from '@oclif/core/args';
import { boolean, integer } from '@oclif/core/flags';
import type { InstanceLog } from '../control/client.js';
import { DbproxyError } from '../errors/index.js';
import { InstanceCommand } from '../cli/instance-command.js';
import type { JsonResult } from '../cli/output.js';
import { followLines, lastLines } from '../cli/tail.js';

interface LogsResult extends JsonResult {
  readonly schema: 'dbproxy.logs/1';
  readonly instance: string;
  readonly log: string;
  readonly file: string;
  readonly lines: readonly string[];
}

export default class Logs extends InstanceCommand<typeof Logs, LogsResult> {
  static override summary = 'the log of the engine, the proxy, the supervisor or a storage node';
  static override description =
    'Works while the instance is down, too. With --follow it goes on until Ctrl-C; with --json as well it prints one ' +
    'object a line, `dbproxy.log-line/1`.';
  static override examples = [
    '<%= config.bin %> logs',
    '<%= config.bin %> logs proxy --lines 20',
    '<%= config.bin %> logs e1 --follow',
  ];
  static override args = {
    log: stringArg({
      default: 'engine',
      description:
        'engine (the primary), proxy, supervisor, an engine such as e1, or a storage node such as s1',
    }),
  };
  static override flags = {
    lines: integer({
      char: 'l',
      min: 1,
      max: 1_000_000,
      default: 40,
      description: 'how many lines from the end',
    }),
    follow: boolean({ char: 'f', description: 'go on with what is added' }),
  };

  protected override async execute(): Promise<LogsResult> {
    const found = await this.#find(this.args.log);
    const { name, file, container } = found;
    if (container !== null) return this.#ofContainer(name, file, container);
    const tail = await lastLines(file, this.flags.lines);
    if (this.flags.follow) {
      tail.lines.forEach((line) => this.#print(name, line));
      await followLines(file, tail.offset, this.signal, (line) => this.#print(name, line));
    }
    return { schema: 'dbproxy.logs/1', instance: this.instance, log: name, file, lines: tail.lines };
  }

  protected override show({ lines }: LogsResult): void {
    if (!this.flags.follow) lines.forEach((line) => this.out.data(line));
  }

  protected override afterInterruption(): string {
    return 'no longer following';
  }

  /** Its runtime has the log; when the container is gone, the file has it. */
  async #ofContainer(name: string, file: string, container: string): Promise<LogsResult> {
    const { containerLog, followContainerLog } = await import('../engine/index.js');
    const { lines: wanted, follow } = this.flags;
    const text = await containerLog(container, wanted);
    const lines = text === null ? (await lastLines(file, wanted)).lines : splitLines(text).slice(-wanted);
    if (follow) {
      lines.forEach((line) => this.#print(name, line));
      await followContainerLog(container, this.signal, (line) => this.#print(name, line));
    }
    return {
      schema: 'dbproxy.logs/1',
      instance: this.instance,
      log: name,
      file: `docker logs ${container}`,
      lines,
    };
  }

  async #find(wanted: string): Promise<InstanceLog> {
    const { instanceLogs } = await import('../control/client.js');
    const logs = await instanceLogs(this.instance);
    const found = logs.find(
      ({ name, role }) => name === wanted || (wanted === 'engine' && role === 'primary'),
    );
    if (found) return found;
    const names = ['engine', ...logs.map(({ name }) => name)].join(', ');
    throw new DbproxyError('DBP_USAGE', { reason: `there is no log "${wanted}"; the logs are ${names}` });
  }

  #print(log: string, line: string): void {
    if (this.out.json) this.out.result({ schema: 'dbproxy.log-line/1', log, line } as JsonResult);
    else this.out.data(line);
  }
}

const splitLines = (text: string): string[] => (text === '' ? [] : text.replace(/\n$/, '').split('\n'));
