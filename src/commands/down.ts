/** `dbproxy down`: stop everything that belongs to an instance. */
import { boolean } from '@oclif/core/flags';
import type { DownResult } from '../control/api.js';
import { confirmLoss } from '../cli/confirm.js';
import { InstanceCommand } from '../cli/instance-command.js';
import { downView } from '../cli/views/up.js';

export default class Down extends InstanceCommand<typeof Down, DownResult> {
  static override summary = 'stop the proxy, the engines and the supervisor';
  static override description = 'The data stays, and `up` brings it back, unless --purge removes it.';
  static override examples = [
    '<%= config.bin %> down',
    '<%= config.bin %> down --name shop --purge --yes',
    '<%= config.bin %> down --json',
  ];
  static override flags = {
    purge: boolean({ description: 'remove the data as well' }),
    yes: boolean({ char: 'y', description: 'do not ask before data is removed' }),
  };

  #begun = false;

  protected override async execute(): Promise<DownResult> {
    const { purge, yes } = this.flags;
    if (purge && !yes) await confirmLoss(`the data of instance "${this.instance}"`, this.signal);
    this.#begun = true;
    this.out.step('down', this.instance);
    const { stopInstance } = await import('../control/client.js');
    return stopInstance(this.instance, { purge }, ({ step, detail }) => this.out.step(step, detail));
  }

  protected override show(result: DownResult): void {
    this.out.data(downView(result, this.out.style));
  }

  protected override afterInterruption(): string {
    return this.#begun
      ? `dbproxy down --name ${this.instance} goes on where this ended`
      : 'nothing was stopped';
  }
}
