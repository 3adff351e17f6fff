/** The asking end of the RPC: typed calls over one connection. */
import { connect, type Socket } from 'node:net';
import { DbproxyError, type ErrorJson } from '../errors/index.js';
import type { RpcApi } from './index.js';
import { JsonLines, LineWriter } from './lines.js';
import { assertOwnSocket } from './own-socket.js';
import type { Progress } from './server.js';

export interface CallOptions<Progress> {
  /** Gives up after this many ms. Without it a call waits for ever: long operations have bounds of their own. */
  readonly timeoutMs?: number;
  readonly onProgress?: (value: Progress) => void;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
  progress(value: unknown): void;
}

type Answer = { id: number; result?: unknown; error?: ErrorJson; progress?: unknown };

export class RpcClient<Api extends RpcApi<Api>> {
  readonly #socket: Socket;
  readonly #lines: LineWriter;
  readonly #path: string;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<void>;

  private constructor(socket: Socket, path: string) {
    this.#socket = socket;
    this.#lines = new LineWriter(socket);
    this.#path = path;
    const lines = new JsonLines((value) => this.#receive(value as Answer));
    socket.on('data', (chunk) => {
      try {
        lines.push(chunk);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('error', () => socket.destroy());
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        const error = new DbproxyError('DBP_RPC_UNREACHABLE', {
          socket: path,
          reason: 'the connection was closed',
        });
        for (const pending of this.#pending.values()) pending.reject(error);
        this.#pending.clear();
        resolve();
      });
    });
  }

  /** Connects to a server's socket. Throws DBP_RPC_UNREACHABLE; DBP_ENV_DIRECTORY when it may be somebody else's. */
  static async connect<Api extends RpcApi<Api>>(path: string): Promise<RpcClient<Api>> {
    await assertOwnSocket(path);
    const socket = connect(path);
    try {
      await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    } catch (cause) {
      throw new DbproxyError(
        'DBP_RPC_UNREACHABLE',
        { socket: path, reason: (cause as NodeJS.ErrnoException).code ?? String(cause) },
        { cause },
      );
    }
    socket.removeAllListeners('error');
    return new RpcClient<Api>(socket, path);
  }

  call<M extends keyof Api & string>(
    method: M,
    params: Api[M]['params'],
    options: CallOptions<Progress<Api[M]>> = {},
  ): Promise<Api[M]['result']> {
    if (this.#socket.destroyed) {
      return Promise.reject(
        new DbproxyError('DBP_RPC_UNREACHABLE', { socket: this.#path, reason: 'closed' }),
      );
    }
    const id = this.#nextId++;
    return new Promise<Api[M]['result']>((resolve, reject) => {
      const timer =
        options.timeoutMs === undefined
          ? undefined
          : setTimeout(() => {
              this.#pending.delete(id);
              const reason = `${method} took longer than ${options.timeoutMs} ms`;
              reject(new DbproxyError('DBP_RPC_UNREACHABLE', { socket: this.#path, reason }));
            }, options.timeoutMs);
      this.#pending.set(id, {
        resolve: (value) => (clearTimeout(timer), resolve(value)),
        reject: (error) => (clearTimeout(timer), reject(error)),
        progress: (value) => options.onProgress?.(value as Progress<Api[M]>),
      });
      this.#lines.write({ id, method, params });
    });
  }

  /** What was said to the server, and it has not taken. */
  get behindBytes(): number {
    return this.#lines.behindBytes;
  }

  close(): void {
    this.#lines.flush();
    this.#socket.destroy();
  }

  #receive(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    if (!pending) return;
    if ('progress' in answer) return pending.progress(answer.progress);
    this.#pending.delete(answer.id);
    if (answer.error) pending.reject(DbproxyError.fromJSON(answer.error));
    else pending.resolve(answer.result);
  }
}
