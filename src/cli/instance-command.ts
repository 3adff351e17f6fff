/** A command about one instance: it has --name, and asks the supervisor of that instance. */
import { MAX_WRITERS, writerName } from '../control/multiwriter/names.js';
import type { Command } from '@oclif/core/command';
import { integer, string } from '@oclif/core/flags';
import type { SupervisorApi } from '../control/api.js';
import type { SupervisorCall } from '../control/client.js';
import { BaseCommand, outputFlags } from './base-command.js';
import type { Interfaces } from './oclif-types.js';
import type { JsonResult } from './output.js';

export const instanceFlag = {
  name: string({
    char: 'n',
    default: 'default',
    description: 'the instance: several can run side by side',
    helpGroup: 'GLOBAL',
  }),
  writer: integer({
    min: 1,
    max: MAX_WRITERS,
    description: 'of several writers: this one (the first one without it)',
    helpGroup: 'GLOBAL',
  }),
};

export abstract class InstanceCommand<
  T extends typeof Command,
  Result extends JsonResult,
> extends BaseCommand<T, Result> {
  static override baseFlags: Interfaces.FlagInput = { ...instanceFlag, ...outputFlags };

  protected get instance(): string {
    const { name, writer = 1 } = this.flags as { name: string; writer?: number };
    return writerName(name, writer);
  }

  /** One call to the supervisor; the instance is repaired first if its supervisor had died. */
  protected async ask<M extends keyof SupervisorApi>(
    ...call: SupervisorCall<M>
  ): Promise<SupervisorApi[M]['result']> {
    const { askSupervisor } = await import('../control/client.js');
    return askSupervisor(this.instance, ...call);
  }
}
