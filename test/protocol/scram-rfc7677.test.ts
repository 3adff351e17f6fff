/** The example exchange of RFC 7677, section 3, byte for byte: the nonce of the server is the only thing put in its place. */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { expect, it, vi } from 'vitest';
import { ScramServer } from '../../src/protocol/index.js';

const SERVER_NONCE = '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';

vi.mock('node:crypto', async (original) => ({
  ...(await original<object>()),
  randomBytes: () => ({ toString: () => SERVER_NONCE }),
}));

it('answers as the example does', () => {
  const salt = 'W22ZaJ0SNY7soEsUEjb6gQ==';
  const salted = pbkdf2Sync('pencil', Buffer.from(salt, 'base64'), 4096, 32, 'sha256');
  const key = (name: string): Buffer => createHmac('sha256', salted).update(name).digest();
  const storedKey = createHash('sha256').update(key('Client Key')).digest();
  const server = new ScramServer({ iterations: 4096, salt, storedKey, serverKey: key('Server Key') });

  expect(server.first('n,,n=user,r=rOprNGfwEbeRWgbNEkqO')).toBe(
    `r=rOprNGfwEbeRWgbNEkqO${SERVER_NONCE},s=${salt},i=4096`,
  );
  const final = `c=biws,r=rOprNGfwEbeRWgbNEkqO${SERVER_NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`;
  const done = server.final(final);
  expect(done?.serverFinal).toBe('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=');
  expect(done?.keys.clientKey).toEqual(key('Client Key'));
});
