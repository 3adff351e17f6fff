/**
 * HTTP to one of several machines of an etcd cluster: its JSON gateway (etcd's manual, "gRPC gateway"), with the token of whoever
 * logged in. A machine that does not answer is left for the next one.
 */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { DbproxyError } from '../../errors/index.js';
import type { EtcdTarget } from './url.js';

/** etcd gives up a request of its own after 7 s (etcdserver/config.go: ReqTimeout); a machine that is gone is left sooner. */
const ANSWER_BOUND_MS = 4_000;
const CONNECTIONS = 64;

/** Codes of gRPC: what was refused for good, and will be again. */
const UNAUTHENTICATED = 16;
const REFUSED = [3, 5, 7, 8, 9, 11, 12, UNAUTHENTICATED];
/** Two of code 8 that are not for good (etcdserver/api/v3rpc/rpctypes/error.go). */
const BUSY = /too many requests/;
const FULL = /database space exceeded/;
const OLD_LOGIN = /invalid auth token|revision of auth store is old|user name is empty/;

export class EtcdTransport {
  readonly #target: EtcdTarget;
  readonly #agent: http.Agent;
  readonly #tls: https.RequestOptions;
  #current = 0;
  #token: string | null = null;
  #login: Promise<void> | null = null;

  /** Throws DBP_USAGE where a file of its TLS cannot be read. */
  constructor(target: EtcdTarget) {
    this.#target = target;
    const options = { keepAlive: true, maxSockets: CONNECTIONS };
    this.#agent = target.tls ? new https.Agent(options) : new http.Agent(options);
    this.#tls = target.tls ? readTls(target.tls) : {};
  }

  /**
   * One question, one answer. Throws DBP_ETCD_REFUSED: nothing was done; DBP_ETCD_AWAY: nobody answered, and whether it was done
   * nobody knows; DBP_ETCD_FULL: it was done or it was not, and will not be (etcdserver/apply.go: what exceeds the quota is carried
   * out, and refused then).
   */
  async ask<Answer>(path: string, question: object, boundMs = ANSWER_BOUND_MS): Promise<Answer> {
    const body = JSON.stringify(question);
    const response = await this.#loggedIn((token) => this.#first(path, body, token, boundMs));
    return response as Answer;
  }

  /** The lines of an answer that does not end. Throws DBP_ETCD_AWAY at its end. */
  async *lines(path: string, question: object, signal: AbortSignal): AsyncGenerator<unknown> {
    const { response, asked } = await this.#loggedIn((token) => this.#open(path, question, token, signal));
    let rest: Buffer[] = [];
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        let from = 0;
        for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
          const line = Buffer.concat([...rest, chunk.subarray(from, end)]).toString('utf8');
          rest = [];
          from = end + 1;
          if (line.trim() !== '') yield JSON.parse(line);
        }
        if (from < chunk.length) rest.push(chunk.subarray(from));
      }
    } catch (cause) {
      if (signal.aborted) return;
      throw this.#away(cause);
    } finally {
      response.destroy();
      // Whoever breaks it off has waited for that machine in vain.
      if (signal.aborted) this.#leave(asked);
    }
    if (!signal.aborted) throw this.#away(new Error('the answer has ended'));
  }

  close(): void {
    this.#agent.destroy();
  }

  async #loggedIn<Result>(work: (token: string | null) => Promise<Result>): Promise<Result> {
    if (this.#target.user && this.#token === null) await this.#logIn();
    try {
      return await work(this.#token);
    } catch (error) {
      // Tokens end: five minutes after they were used last, or when somebody changes users.
      const { code, message } = DbproxyError.from(error);
      if (!this.#target.user || code !== 'DBP_ETCD_REFUSED' || !OLD_LOGIN.test(message)) throw error;
      await this.#logIn();
      return work(this.#token);
    }
  }

  #logIn(): Promise<void> {
    const { user } = this.#target;
    const question = JSON.stringify({ name: user?.name, password: user?.password });
    this.#login ??= this.#first('/v3/auth/authenticate', question, null, ANSWER_BOUND_MS)
      .then((answer) => {
        this.#token = (answer as { token: string }).token;
      })
      .finally(() => {
        this.#login = null;
      });
    return this.#login;
  }

  /** Of the first machine that gives one. What it refuses, one that was asked before may still do. */
  async #first(path: string, body: string, token: string | null, boundMs: number): Promise<unknown> {
    let failure: unknown;
    for (let tries = 0; tries < this.#target.endpoints.length; tries++) {
      const asked = this.#current;
      try {
        const response = await this.#request(path, body, token, AbortSignal.timeout(boundMs));
        const chunks: Buffer[] = [];
        for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
        return readAnswer(response.statusCode ?? 0, Buffer.concat(chunks).toString('utf8'));
      } catch (error) {
        if (error instanceof DbproxyError) throw failure === undefined ? error : this.#away(error);
        failure = error;
        this.#leave(asked);
      }
    }
    throw this.#away(failure);
  }

  async #open(
    path: string,
    question: object,
    token: string | null,
    signal: AbortSignal,
  ): Promise<{ response: http.IncomingMessage; asked: number }> {
    const asked = this.#current;
    try {
      const bound = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_BOUND_MS)]);
      const response = await this.#request(path, JSON.stringify(question), token, signal, bound);
      if (response.statusCode === 200) return { response, asked };
      const chunks: Buffer[] = [];
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
      readAnswer(response.statusCode ?? 0, Buffer.concat(chunks).toString('utf8'));
      throw new Error(`status ${response.statusCode ?? 0}`);
    } catch (error) {
      if (error instanceof DbproxyError) throw error;
      this.#leave(asked);
      throw this.#away(error);
    }
  }

  /** That machine is asked no more, for now; once, whoever says so. */
  #leave(asked: number): void {
    if (this.#current === asked) this.#current = (asked + 1) % this.#target.endpoints.length;
  }

  /** `signal` ends the whole of it; `bound`, only the wait for the answer's head. */
  #request(
    path: string,
    body: string,
    token: string | null,
    signal: AbortSignal,
    bound: AbortSignal = signal,
  ): Promise<http.IncomingMessage> {
    const endpoint = this.#target.endpoints[this.#current] ?? '';
    const { request: send } = this.#target.tls ? https : http;
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...(token === null ? {} : { authorization: token }),
    };
    return new Promise((resolve, reject) => {
      const options = { ...this.#tls, method: 'POST', agent: this.#agent, headers, signal };
      const request = send(`${endpoint}${path}`, options, resolve);
      const tooLate = (): void => void request.destroy(new Error('it did not answer in time'));
      if (bound !== signal) bound.addEventListener('abort', tooLate, { once: true });
      request.once('response', () => bound.removeEventListener('abort', tooLate));
      request.once('error', reject);
      request.end(body);
    });
  }

  #away(cause: unknown): DbproxyError {
    const { endpoints } = this.#target;
    const reason = cause instanceof Error ? reasonOf(cause) : String(cause);
    return new DbproxyError('DBP_ETCD_AWAY', { endpoints: endpoints.join(', '), reason }, { cause });
  }
}

const reasonOf = (error: Error): string =>
  error.name === 'AbortError' || error.name === 'TimeoutError' ? 'it did not answer in time' : error.message;

/** Throws DBP_ETCD_REFUSED, DBP_ETCD_FULL; and an ordinary error where the machine could not tell. */
function readAnswer(status: number, text: string): unknown {
  let answer: { error?: string; message?: string; code?: number };
  try {
    answer = JSON.parse(text) as typeof answer;
  } catch {
    throw new Error(`it is no etcd: status ${status}, ${text.slice(0, 100)}`);
  }
  if (status === 200) return answer;
  const reason = answer.message ?? answer.error ?? `status ${status}`;
  if (answer.code !== undefined && REFUSED.includes(answer.code) && !BUSY.test(reason))
    throw new DbproxyError(FULL.test(reason) ? 'DBP_ETCD_FULL' : 'DBP_ETCD_REFUSED', { reason });
  throw new Error(reason);
}

function readTls({ ca, cert, key }: NonNullable<EtcdTarget['tls']>): https.RequestOptions {
  const read = (file: string): Buffer => {
    try {
      return readFileSync(file);
    } catch (cause) {
      const reason = `a file of the store's TLS cannot be read: ${(cause as Error).message}`;
      throw new DbproxyError('DBP_USAGE', { reason }, { cause });
    }
  };
  return {
    ...(ca === undefined ? {} : { ca: read(ca) }),
    ...(cert === undefined || key === undefined ? {} : { cert: read(cert), key: read(key) }),
  };
}
