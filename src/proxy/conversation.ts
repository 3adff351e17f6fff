/** A client before it has a session: its bytes as whole packets, asked for one at a time. */
import {
  MAX_AUTH_MESSAGE_BYTES,
  MessageReader,
  readStartupPacket,
  type Message,
  type StartupPacket,
} from '../protocol/index.js';
import type { Link, LinkOwner } from './link.js';
import type { RawHandle } from './raw-handle.js';

/** The client went away while we waited for it. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

export class Conversation implements LinkOwner {
  #link: Link;
  #bytes: Buffer = Buffer.alloc(0);
  #gone = false;
  #wake: (() => void) | null = null;
  #silent = true;

  constructor(accept: (owner: LinkOwner) => Link) {
    this.#link = accept(this);
  }

  get link(): Link {
    return this.#link;
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** The next start-up packet. Throws ProtocolViolation, ClientGone. */
  async startupPacket(): Promise<StartupPacket> {
    for (;;) {
      const found = readStartupPacket(this.#bytes);
      if (found) {
        this.#bytes = this.#bytes.subarray(found.bytes);
        return found.packet;
      }
      await this.#more();
    }
  }

  /** The next message, at most MAX_AUTH_MESSAGE_BYTES long. Throws ProtocolViolation, ClientGone. */
  async message(): Promise<Message> {
    for (;;) {
      const reader = new MessageReader(MAX_AUTH_MESSAGE_BYTES);
      reader.push(this.#bytes);
      const message = reader.next();
      if (message) {
        this.#bytes = reader.takeRest();
        return message;
      }
      await this.#more();
    }
  }

  /** Bytes that came and were not asked for. */
  takeRest(): Buffer {
    const rest = this.#bytes;
    this.#bytes = Buffer.alloc(0);
    return rest;
  }

  received(link: Link, buffer: Buffer, bytes: number): void {
    this.#silent = false;
    this.#bytes = Buffer.concat([this.#bytes, buffer.subarray(0, bytes)]);
    link.pause();
    this.#wake?.();
  }

  /** From when it resolves on the client's bytes stay in the kernel; those that came before are the result. */
  async quiet(): Promise<Buffer> {
    await this.#link.freeze();
    return this.takeRest();
  }

  /** Quiet: goes on with the client's bytes as they come out of a tunnel. Throws ClientGone, and what `open` throws. */
  async goThrough<Tunnel>(
    open: (client: RawHandle) => Promise<{ readonly tunnel: Tunnel; readonly link: Link }>,
  ): Promise<Tunnel> {
    const client = this.#link.surrender();
    if (!client || this.#gone) {
      client?.close();
      throw new ClientGone();
    }
    const { tunnel, link } = await open(client);
    this.#link = link;
    // Whoever gave up meanwhile could not end it.
    if (this.#gone) link.destroy();
    return tunnel;
  }

  /** Lets go of the connection if the client has not said anything yet; false: it has. */
  async giveAway(give: (handle: RawHandle) => Promise<void>): Promise<boolean> {
    if (!this.#silent || this.#gone) return false;
    await this.link.freeze();
    const handle = this.link.inheritable;
    const silent = this.#silent && !this.#gone && handle !== null;
    // It fails when the client leaves just now; or the other process has, which shows elsewhere.
    const given =
      silent &&
      (await give(handle).then(
        () => true,
        () => false,
      ));
    if (given) {
      this.link.giveAway();
      this.giveUp();
    } else {
      this.link.thaw();
      if (!this.#gone) this.link.resume();
    }
    return given;
  }

  drained(): void {}

  /** Whoever waits for the client gets ClientGone. */
  giveUp(): void {
    this.#gone = true;
    this.#wake?.();
  }

  ended(): void {
    this.#gone = true;
    this.link.destroy();
    this.#wake?.();
  }

  closed(): void {
    this.#gone = true;
    this.#wake?.();
  }

  async #more(): Promise<void> {
    if (this.#gone) throw new ClientGone();
    const before = this.#bytes.length;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.link.resume();
    });
    this.#wake = null;
    if (this.#gone && this.#bytes.length === before) throw new ClientGone();
  }
}
