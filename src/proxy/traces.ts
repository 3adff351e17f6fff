/**
 * Who looks at the wire of which session. What somebody who looks does not take in time is not kept for him, but counted: nobody's
 * bytes wait for it.
 */
import { DbproxyError } from '../errors/index.js';
import { Tracer, type TracedMessage } from '../protocol/index.js';
import type { RpcContext } from '../rpc/index.js';
import type { ProxyApi, TracedLines, TraceLine } from './control-api.js';
import type { Session } from './session.js';

/** So much may wait for its reader, bytes. */
const MAX_BEHIND_BYTES = 4 * 1024 * 1024;

type Request = ProxyApi['trace']['params'];

export class Traces {
  readonly #sessions: ReadonlySet<Session>;
  readonly #traces = new Set<Trace>();

  constructor(sessions: ReadonlySet<Session>) {
    this.#sessions = sessions;
  }

  /** Goes on until the caller goes away, or the session ends. Throws DBP_USAGE_UNKNOWN_SESSION. */
  async trace(request: Request, context: RpcContext<TracedLines>): Promise<null> {
    const { session: id } = request;
    const chosen = [...this.#sessions].filter(({ identity }) => id === undefined || identity.id === id);
    if (id !== undefined && chosen.length === 0) throw new DbproxyError('DBP_USAGE_UNKNOWN_SESSION', { id });
    const trace = new Trace(request, context);
    for (const session of chosen) trace.begin(session);
    this.#traces.add(trace);
    try {
      await trace.over;
    } finally {
      this.#traces.delete(trace);
      trace.end();
    }
    return null;
  }

  joined(session: Session): void {
    for (const trace of this.#traces) if (trace.request.session === undefined) trace.begin(session);
  }

  left(session: Session): void {
    for (const trace of this.#traces) trace.left(session);
  }
}

class Trace {
  readonly request: Request;
  readonly over: Promise<void>;
  readonly #context: RpcContext<TracedLines>;
  readonly #removers = new Map<Session, () => void>();
  #finish: () => void = () => undefined;
  #lines: TraceLine[] = [];
  #missed = 0;

  constructor(request: Request, context: RpcContext<TracedLines>) {
    this.request = request;
    this.#context = context;
    this.over = new Promise((resolve) => {
      this.#finish = resolve;
      context.signal.addEventListener('abort', () => resolve());
    });
  }

  begin(session: Session): void {
    const { client, engine } = session.position;
    const heard = (message: TracedMessage): void => this.#heard(session.identity.id, message);
    const fromClient = new Tracer('F', client, this.request, heard);
    const toClient = new Tracer('B', engine, this.request, heard);
    const remove = session.tap({
      fromClient: (buffer, end) => fromClient.push(buffer, 0, end),
      toClient: (buffer, end) => toClient.push(buffer, 0, end),
    });
    this.#removers.set(session, remove);
  }

  left(session: Session): void {
    if (this.#removers.delete(session) && this.request.session !== undefined) this.#finish();
  }

  end(): void {
    for (const remove of this.#removers.values()) remove();
    this.#removers.clear();
    this.#tell();
  }

  #heard(session: number, message: TracedMessage): void {
    if (this.#context.behindBytes > MAX_BEHIND_BYTES) {
      this.#missed++;
      return;
    }
    if (this.#lines.length === 0) setImmediate(() => this.#tell());
    this.#lines.push({ session, atMs: performance.timeOrigin + performance.now(), ...message });
  }

  #tell(): void {
    if (this.#lines.length === 0) return;
    this.#context.progress({ lines: this.#lines, missed: this.#missed });
    this.#lines = [];
    this.#missed = 0;
  }
}
