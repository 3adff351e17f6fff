/** `dbproxy url`: the connection URL on a line of its own. */
import { InstanceCommand } from '../cli/instance-command.js';
import type { JsonResult } from '../cli/output.js';

interface UrlResult extends JsonResult {
  readonly schema: 'dbproxy.url/1';
  readonly instance: string;
  readonly url: string;
}

export default class Url extends InstanceCommand<typeof Url, UrlResult> {
  static override summary = 'the connection URL, with its password';
  static override examples = ['<%= config.bin %> url', 'psql "$(<%= config.bin %> url)"'];

  protected override async execute(): Promise<UrlResult> {
    const { instance, url } = await this.ask('ready', {});
    return { schema: 'dbproxy.url/1', instance, url };
  }

  protected override show({ url }: UrlResult): void {
    this.out.data(url);
  }
}
