/** `dbproxy psql`: the system's psql, connected through the proxy. */
import type { ExitCode } from '../errors/index.js';
import { connectionEnv } from '../cli/connection-env.js';
import { InstanceCommand } from '../cli/instance-command.js';
import type { JsonResult } from '../cli/output.js';
import { runInForeground } from '../cli/run-in-foreground.js';

interface PsqlResult extends JsonResult {
  readonly schema: 'dbproxy.psql/1';
  readonly instance: string;
  readonly exitCode: number;
}

export default class Psql extends InstanceCommand<typeof Psql, PsqlResult> {
  static override summary = "open the system's psql on the instance";
  static override description =
    'What follows `--` goes to psql. The exit code is that of psql; 4 when it is not installed.';
  static override examples = ['<%= config.bin %> psql', "<%= config.bin %> psql -- -c 'select version()'"];
  static override strict = false;

  protected override async execute(): Promise<PsqlResult> {
    const { instance, url } = await this.ask('ready', {});
    const exitCode = await runInForeground('psql', this.rest, connectionEnv(url), {
      hint: 'apt-get install postgresql-client, or connect with what you have: dbproxy url',
      quiet: this.out.json,
    });
    return { schema: 'dbproxy.psql/1', instance, exitCode };
  }

  protected override show(): void {
    // psql has shown everything.
  }

  protected override exitCodeOf({ exitCode }: PsqlResult): ExitCode {
    return exitCode as ExitCode;
  }

  /** Ctrl-C belongs to psql: it cancels the query there. */
  protected override leavesSignals(): boolean {
    return true;
  }
}
