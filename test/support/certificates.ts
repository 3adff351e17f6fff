/** Certificates for tests, from the code that makes those of instances, as files. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeRoot, makeServer, type Pem } from '../../src/control/tls/generate.js';
import type { ProxyTls } from '../../src/proxy/control-api.js';

export interface TestCertificate extends Omit<ProxyTls, 'mode'> {
  readonly rootFile: string;
  readonly root: Pem;
}

/** In a new directory below `home`, for localhost and its addresses. */
export const makeCertificate = async (
  home: string,
  names: readonly string[] = ['localhost', '127.0.0.1', '::1'],
): Promise<TestCertificate> => {
  const root = await makeRoot('test');
  const server = await makeServer(root, names);
  const directory = await mkdtemp(join(home, 'tls-'));
  const write = async (name: string, text: string): Promise<string> => {
    const file = join(directory, name);
    await writeFile(file, text, { mode: 0o600 });
    return file;
  };
  return {
    root,
    rootFile: await write('root.crt', root.certificate),
    certificateFile: await write('server.crt', server.certificate),
    keyFile: await write('server.key', server.key),
  };
};
