/** Loaded into every Node process of a test (contacts.ts): notes whom it connects to, what it looks up, whom it sends to. */
import { appendFileSync } from 'node:fs';
import dgram from 'node:dgram';
import dns from 'node:dns';
import net from 'node:net';

const file = process.env.DBPROXY_TEST_CONTACTS;
/** A path is a Unix socket: of this machine. */
const note = (address) => file && address && !address.startsWith('/') && appendFileSync(file, `${address}\n`);

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  this.once('connectionAttempt', (address) => note(address));
  this.once('connect', () => note(this.remoteAddress));
  return connect.apply(this, args);
};

const lookup = dns.lookup;
dns.lookup = function (name, ...rest) {
  note(name);
  return lookup.call(this, name, ...rest);
};

for (const method of ['send', 'connect']) {
  const before = dgram.Socket.prototype[method];
  dgram.Socket.prototype[method] = function (...args) {
    note(args.find((arg) => typeof arg === 'string') ?? 'udp');
    return before.apply(this, args);
  };
}
