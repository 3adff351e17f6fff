/** `dbproxy env`: the connection as shell variables. */
import { connectionEnv, exportLines } from '../cli/connection-env.js';
import { InstanceCommand } from '../cli/instance-command.js';
import type { JsonResult } from '../cli/output.js';

interface EnvResult extends JsonResult {
  readonly schema: 'dbproxy.env/1';
  readonly instance: string;
  readonly variables: Readonly<Record<string, string>>;
}

export default class Env extends InstanceCommand<typeof Env, EnvResult> {
  static override summary = 'DATABASE_URL and PG* as lines for the shell';
  static override examples = ['eval "$(<%= config.bin %> env)"', '<%= config.bin %> env --json'];

  protected override async execute(): Promise<EnvResult> {
    const { instance, url } = await this.ask('ready', {});
    return { schema: 'dbproxy.env/1', instance, variables: connectionEnv(url) };
  }

  protected override show({ variables }: EnvResult): void {
    this.out.data(exportLines(variables));
  }
}
