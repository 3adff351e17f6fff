/** `dbproxy sessions`: every client connection. */
import type { SessionsResult } from '../control/api.js';
import { InstanceCommand } from '../cli/instance-command.js';
import { sessionsView } from '../cli/views/status.js';

export default class Sessions extends InstanceCommand<typeof Sessions, SessionsResult> {
  static override summary = 'the client sessions: where each is, what it does, how often it moved';
  static override examples = ['<%= config.bin %> sessions', '<%= config.bin %> sessions --json'];

  protected override async execute(): Promise<SessionsResult> {
    return this.ask('sessions', {});
  }

  protected override show({ sessions }: SessionsResult): void {
    this.out.data(sessionsView(sessions, this.out.style));
  }
}
