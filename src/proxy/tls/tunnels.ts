/**
 * The tunnels of this process (tunnel.ts), and the private socket on which their two ends meet: in a directory that only its
 * owner can enter, opened with the first TLS session. Node cannot ask who connected there (SO_PEERCRED), so whoever comes
 * has to begin with a number that only this process knows, made for one connection.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { chmod, readdir, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { logLine } from '../../log-line.js';
import type { Link, LinkFactory, LinkOwner } from '../link.js';
import type { RawHandle } from '../raw-handle.js';
import type { CertificateStore } from './certificate.js';
import { Tunnel } from './tunnel.js';

const NUMBER_BYTES = 32;
/** For the two ends to meet, ms. */
const MEET_MS = 5_000;
const BACKLOG = 1_024;
/** Followed by the pid. */
const SOCKET_PREFIX = '.tls.';

export interface OpenTunnel {
  readonly client: RawHandle;
  readonly early: Buffer;
  readonly direct: boolean;
  readonly owner: LinkOwner;
}

interface Meeting {
  readonly number: Buffer;
  readonly met: (plain: Socket) => void;
}

export class Tunnels {
  readonly #directory: string;
  readonly #links: LinkFactory;
  readonly #certificates: CertificateStore;
  readonly #meetings = new Set<Meeting>();
  readonly #tunnels = new Set<Tunnel>();
  #server: Promise<Server> | null = null;

  /** `directory`: its owner's alone. */
  constructor(directory: string, links: LinkFactory, certificates: CertificateStore) {
    this.#directory = directory;
    this.#links = links;
    this.#certificates = certificates;
  }

  get size(): number {
    return this.#tunnels.size;
  }

  /** Ends the client's TLS here. The link gives what the client says once the handshake is done. Owns `client`, also if it throws. */
  async open({ client, early, direct, owner }: OpenTunnel): Promise<{ tunnel: Tunnel; link: Link }> {
    try {
      const certificate = await this.#certificates.current();
      const { plain, link } = await this.#meet(owner);
      const tunnel = new Tunnel({ client, early, certificate, direct, plain });
      this.#tunnels.add(tunnel);
      void tunnel.closed.then(() => this.#tunnels.delete(tunnel));
      return { tunnel, link };
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** Resolves when there is no tunnel left. */
  async ended(): Promise<void> {
    while (this.#tunnels.size > 0) await Promise.all([...this.#tunnels].map(({ closed }) => closed));
  }

  /** Sessions have been told their end: gives that `graceMs` to reach the clients. */
  async close(graceMs: number): Promise<void> {
    await Promise.race([this.ended(), delay(graceMs, undefined, { ref: false })]);
    for (const tunnel of this.#tunnels) tunnel.destroy();
    await this.stopListening();
  }

  /** No more tunnels; those that are there stay. */
  async stopListening(): Promise<void> {
    const server = await this.#server?.catch(() => null);
    this.#server = null;
    server?.close();
  }

  // --- where the two ends meet ----------------------------------------------------------------------------------------

  async #meet(owner: LinkOwner): Promise<{ plain: Socket; link: Link }> {
    this.#server ??= this.#listen();
    this.#server.catch(() => (this.#server = null));
    await this.#server;
    const number = randomBytes(NUMBER_BYTES);
    const bound = new AbortController();
    let meeting: Meeting | null = null;
    const met = new Promise<Socket>((resolve) => {
      meeting = { number, met: resolve };
      this.#meetings.add(meeting);
    });
    let link: Link | null = null;
    try {
      link = await this.#links.connect({ path: this.#path }, owner, MEET_MS);
      link.send(number);
      const late = delay(MEET_MS, null, { signal: bound.signal }).then(() => {
        throw new Error(`the two ends of a TLS tunnel did not meet within ${MEET_MS} ms`);
      });
      return { plain: await Promise.race([met, late]), link };
    } catch (error) {
      link?.destroy();
      throw error;
    } finally {
      bound.abort();
      if (meeting) this.#meetings.delete(meeting);
    }
  }

  get #path(): string {
    return join(this.#directory, `${SOCKET_PREFIX}${process.pid}`);
  }

  async #listen(): Promise<Server> {
    await this.#removeRemains();
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#receive(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen({ path: this.#path, backlog: BACKLOG }, () => resolve());
    });
    server.on('error', (error) => logLine(`tls: ${error.message}`));
    await chmod(this.#path, 0o600);
    return server;
  }

  /** Sockets of processes that were killed. */
  async #removeRemains(): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      const pid = name.startsWith(SOCKET_PREFIX) ? Number(name.slice(SOCKET_PREFIX.length)) : 0;
      if (pid > 0 && (pid === process.pid || !isThere(pid)))
        await rm(join(this.#directory, name), { force: true });
    }
  }

  /** Whoever does not begin with a number that is waited for is turned away. */
  #receive(socket: Socket): void {
    const timer = setTimeout(() => socket.destroy(), MEET_MS);
    socket.on('error', () => undefined).on('close', () => clearTimeout(timer));
    const look = (): void => {
      const number = socket.read(NUMBER_BYTES) as Buffer | null;
      if (number === null) return;
      socket.removeListener('readable', look);
      clearTimeout(timer);
      const meeting = [...this.#meetings].find(
        (each) => number.length === NUMBER_BYTES && timingSafeEqual(each.number, number),
      );
      if (!meeting) socket.destroy();
      else meeting.met(socket);
    };
    socket.on('readable', look);
  }
}

const isThere = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
};
