/** `dbproxy sessions`: every client connection; with a number, all that this one holds. */
import type { SessionResult, SessionsResult } from '../control/api.js';
import { InstanceCommand } from '../cli/instance-command.js';
import { sessionArgument } from '../cli/session-argument.js';
import { sessionView } from '../cli/views/session.js';
import { sessionsView } from '../cli/views/status.js';

/** How long a session may take to come to a safe point, where it can be looked at. */
const LOOK_MS = 1_000;

export default class Sessions extends InstanceCommand<typeof Sessions, SessionsResult | SessionResult> {
  static override summary = 'the client sessions: where each is, what it does, how often it moved';
  static override description =
    'With the number of one: its settings, prepared statements, temporary tables with their sizes, cursors, locks, channels and ' +
    'moves, and whether it can move now.';
  static override examples = [
    '<%= config.bin %> sessions',
    '<%= config.bin %> sessions 7',
    '<%= config.bin %> sessions --json',
  ];
  static override args = {
    id: sessionArgument({}),
  };

  protected override async execute(): Promise<SessionsResult | SessionResult> {
    const { id } = this.args;
    return id === undefined ? this.ask('sessions', {}) : this.ask('session', { id, withinMs: LOOK_MS });
  }

  protected override show(result: SessionsResult | SessionResult): void {
    const { style } = this.out;
    this.out.data(
      result.schema === 'dbproxy.session/1'
        ? sessionView(result, style)
        : sessionsView(result.sessions, style, this.out.width),
    );
  }
}
