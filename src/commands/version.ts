/** `dbproxy version`: what this is and what it runs on. bin/run.js answers a bare `--version` by itself. */
import { VERSION } from '../version.js';
import { BaseCommand } from '../cli/base-command.js';
import type { JsonResult } from '../cli/output.js';

interface VersionResult extends JsonResult {
  readonly schema: 'dbproxy.version/1';
  readonly version: string;
  readonly node: string;
  readonly platform: string;
}

export default class Version extends BaseCommand<typeof Version, VersionResult> {
  static override summary = 'the version of dbproxy';
  static override examples = ['<%= config.bin %> version --json', '<%= config.bin %> --version'];

  protected override async execute(): Promise<VersionResult> {
    return {
      schema: 'dbproxy.version/1',
      version: VERSION,
      node: process.versions.node,
      platform: `${process.platform}-${process.arch}`,
    };
  }

  protected override show({ version, node, platform }: VersionResult): void {
    this.out.data(`dbproxy ${version} (Node ${node}, ${platform})`);
  }
}
