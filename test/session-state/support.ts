/** A backend of a real engine as state is read from and re-created on it, with the tracker a session would have. */
import { ClientStream, Exchange, encode } from '../../src/protocol/index.js';
import type { EngineRecord } from '../../src/engine/index.js';
import { EngineAdmin } from '../../src/proxy/engine-admin.js';
import { EngineConnection } from '../../src/proxy/engine-connection.js';
import { Link } from '../../src/proxy/link.js';
import {
  DEFAULT_LIMITS,
  SessionTracker,
  SettingNames,
  look,
  type Reply,
  type SessionState,
} from '../../src/session-state/index.js';
import { routeTo } from '../support/engines.js';

const links = Link.plain();

/** One logged-in backend and what a proxy knows of its session. */
export class Backend {
  readonly connection: EngineConnection;
  readonly names = new SettingNames();
  readonly tracker = new SessionTracker(this.names);
  readonly #exchange = new Exchange();
  readonly #client = new ClientStream(this.#exchange, this.tracker);
  readonly #settableNames: string;

  private constructor(connection: EngineConnection, settableNames: string) {
    this.connection = connection;
    this.#settableNames = settableNames;
  }

  static async open(engine: EngineRecord, parameters: Record<string, string> = {}): Promise<Backend> {
    const route = routeTo(engine);
    const admin = new EngineAdmin(links, route);
    const settable = await admin.settableNames();
    admin.close();
    const all = new Map(Object.entries({ user: 'postgres', database: 'postgres', ...parameters }));
    return new Backend(await EngineConnection.open(links, route, all, null), settable);
  }

  /** Sends messages as a client would: the tracker sees them. */
  async send(messages: Buffer, ready = 1): Promise<readonly Reply[]> {
    this.#client.scan(messages, 0, messages.length, false);
    const replies = await this.connection.exchange(messages, ready);
    for (const { status } of replies) this.#exchange.ready(status);
    // Tags are not part of a Reply; reading the settings anew is what a SET's tag leads to.
    this.tracker.settingsTouched = true;
    return replies;
  }

  /** Of the last request. */
  tagged(text: string): void {
    const tag = Buffer.from(`${text}\0`);
    this.tracker.commandComplete(tag, 0, tag.length, this.#exchange.answered - 1);
  }

  async query(sql: string | Buffer): Promise<Reply> {
    const [reply] = await this.send(encode.query(sql));
    return reply!;
  }

  /** Statements one by one; none may fail. */
  async run(...texts: (string | Buffer)[]): Promise<void> {
    for (const sql of texts) {
      const { error } = await this.query(sql);
      if (error) throw new Error(`${sql.toString()}: ${error.message}`);
    }
  }

  /** The only set of rows of a query. */
  async rows(sql: string): Promise<readonly (readonly (string | null)[])[]> {
    const { sets, error } = await this.query(sql);
    if (error) throw new Error(`${sql}: ${error.message}`);
    return sets[0] ?? [];
  }

  look(previous: SessionState | null = null, thorough = true, contents = false): Promise<SessionState> {
    const { tracker } = this;
    const context = {
      tracker,
      thorough,
      scanNames: thorough,
      contents,
      limits: DEFAULT_LIMITS,
      settableNames: this.#settableNames,
      customNames: this.names.all,
      namesOverflowed: this.names.overflowed,
      holdsLocks: false,
      rememberNames: (found: readonly string[]) => found.forEach((name) => this.names.add(name)),
    };
    return look(this.connection, context, previous);
  }

  close(): void {
    this.connection.close();
  }
}
