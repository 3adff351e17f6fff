/** `dbproxy events`: what happened in the instance. */
import { boolean, integer } from '@oclif/core/flags';
import type { LogEvent } from '../control/api.js';
import { InstanceCommand } from '../cli/instance-command.js';
import type { JsonResult } from '../cli/output.js';
import { eventView } from '../cli/views/events.js';

interface EventsResult extends JsonResult {
  readonly schema: 'dbproxy.events/1';
  readonly instance: string;
  readonly events: readonly LogEvent[];
}

export default class Events extends InstanceCommand<typeof Events, EventsResult> {
  static override summary = 'the event log';
  static override description =
    'Works while the instance is down, too. With --follow it goes on until Ctrl-C, or until the instance is stopped; with --json as well it prints one object a line, `dbproxy.event/1`.';
  static override examples = [
    '<%= config.bin %> events',
    '<%= config.bin %> events --follow',
    '<%= config.bin %> events --json --after 12',
  ];
  static override flags = {
    follow: boolean({ char: 'f', description: 'go on with what happens' }),
    after: integer({ min: 0, default: 0, description: 'only events after the one with this number' }),
  };

  protected override async execute(): Promise<EventsResult> {
    const { after, follow } = this.flags;
    if (follow) await this.#follow(after);
    const { instanceEvents } = await import('../control/client.js');
    const events = follow ? [] : await instanceEvents(this.instance, after);
    return { schema: 'dbproxy.events/1', instance: this.instance, events };
  }

  async #follow(after: number): Promise<void> {
    const { followEvents } = await import('../control/follow-events.js');
    for await (const event of followEvents(this.instance, after, this.signal)) this.#print(event);
  }

  protected override show({ events }: EventsResult): void {
    for (const event of events) this.#print(event);
  }

  protected override afterInterruption(): string {
    return 'no longer following';
  }

  #print(event: LogEvent): void {
    if (this.out.json) this.out.result({ schema: 'dbproxy.event/1', ...event });
    else this.out.data(eventView(event, this.out.style));
  }
}
