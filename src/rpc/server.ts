/** The answering end of the RPC: a Unix socket that dispatches lines to handlers. */
import { chmod, lstat, rename, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { DbproxyError } from '../errors/index.js';
import type { RpcApi } from './index.js';
import { JsonLines, LineWriter } from './lines.js';

export interface RpcContext<Progress> {
  /** Aborted when the caller goes away. */
  readonly signal: AbortSignal;
  progress(value: Progress): void;
  /** What was said to the caller, and it has not taken. */
  readonly behindBytes: number;
  /** Ends the other connections on which that was asked: whoever has them is to come again, to whoever has the name then. */
  endOthersThatAsked(...methods: string[]): void;
}

/** The type of a method's progress; `never` where it has none. */
export type Progress<Method> = Method extends { progress: infer P } ? P : never;

export type RpcHandlers<Api extends RpcApi<Api>> = {
  [M in keyof Api]: (
    params: Api[M]['params'],
    context: RpcContext<Progress<Api[M]>>,
  ) => Promise<Api[M]['result']> | Api[M]['result'];
};

interface Request {
  id: number;
  method: string;
  params: unknown;
}

const isRequest = (value: unknown): value is Request =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value as Request).id === 'number' &&
  typeof (value as Request).method === 'string';

/** How often a server looks whether its socket still has its name, ms. */
const LOOK_EVERY_MS = 2_000;

export class RpcServer<Api extends RpcApi<Api>> {
  readonly #server: Server;
  /** And what was asked there. */
  readonly #connections = new Map<LineWriter, Set<string>>();
  readonly #handlers: RpcHandlers<Api>;
  #path = '';
  #boundTo = '';
  #looking: NodeJS.Timeout | undefined;

  constructor(handlers: RpcHandlers<Api>) {
    this.#handlers = handlers;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  /** Listens on `path`. */
  async listen(path: string, onUnreachable: () => void): Promise<void> {
    await this.bind(path, '~');
    await this.takeName(path, onUnreachable);
  }

  /**
   * Listens beside `path` with mode 0600, where nobody looks. `suffix`: of the name there; another one than that of whoever has `path`
   * still, as closing a socket removes the name that it was bound to.
   */
  async bind(path: string, suffix: string): Promise<void> {
    this.#boundTo = `${path}${suffix}`;
    await rm(this.#boundTo, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen(this.#boundTo, () => resolve());
    });
    await chmod(this.#boundTo, 0o600);
  }

  /**
   * The name is taken in one step, from a dead process or from one that is to be replaced: whoever connects reaches the one or
   * the other. `onUnreachable`: its name is gone, as when somebody has removed the directory of an instance that runs: nobody can
   * ask it for anything any more, not even to end.
   */
  async takeName(path: string, onUnreachable: () => void): Promise<void> {
    await rename(this.#boundTo, path);
    this.#path = path;
    this.#watchName(onUnreachable);
  }

  #watchName(onUnreachable: () => void): void {
    let missing = 0;
    const look = async (): Promise<void> => {
      const found = await lstat(this.#path).catch((error: NodeJS.ErrnoException) => error.code !== 'ENOENT');
      missing = found ? 0 : missing + 1;
      // Once may be the moment in which another one takes the name.
      if (missing < 2) return;
      clearInterval(this.#looking);
      onUnreachable();
    };
    this.#looking = setInterval(() => void look(), LOOK_EVERY_MS).unref();
  }

  /** Stops listening, ends every connection, removes the socket file. */
  async close(): Promise<void> {
    clearInterval(this.#looking);
    for (const connection of this.#connections.keys()) connection.end();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await rm(this.#path, { force: true });
  }

  #serve(socket: Socket): void {
    const gone = new AbortController();
    const answers = new LineWriter(socket);
    this.#connections.set(answers, new Set());
    const lines = new JsonLines((value) => {
      if (!isRequest(value)) throw new DbproxyError('DBP_RPC_PROTOCOL', { reason: 'not a request' });
      void this.#answer(answers, value, gone.signal);
    });
    socket.on('data', (chunk) => {
      try {
        lines.push(chunk);
      } catch (error) {
        answers.write({ id: 0, error: DbproxyError.from(error).toJSON() });
        answers.end();
      }
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#connections.delete(answers);
      gone.abort();
    });
  }

  async #answer(answers: LineWriter, { id, method, params }: Request, signal: AbortSignal): Promise<void> {
    const send = (message: object): void => answers.write({ id, ...message });
    this.#connections.get(answers)?.add(method);
    try {
      if (!Object.hasOwn(this.#handlers, method)) {
        throw new DbproxyError('DBP_RPC_PROTOCOL', { reason: `unknown method ${method}` });
      }
      const handler = this.#handlers[method as keyof Api];
      const result = await handler(params, {
        signal,
        progress: (value) => send({ progress: value }),
        get behindBytes() {
          return answers.behindBytes;
        },
        endOthersThatAsked: (...methods) => {
          for (const [other, asked] of this.#connections)
            if (other !== answers && methods.some((each) => asked.has(each))) other.end();
        },
      });
      send({ result: result ?? null });
    } catch (error) {
      send({ error: DbproxyError.from(error).toJSON() });
    }
  }
}
