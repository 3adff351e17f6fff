/**
 * Entry of the supervisor process: `node dist/control/main.js --instance NAME`, with DBPROXY_HOME. Started detached by the
 * command line (`launch.ts`), ready for calls when its socket answers. Ends by itself when its instance is down.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { endIfLoadOnly } from '../load-only.js';
import { logLine } from '../log-line.js';
import { processIdentity } from '../engine/index.js';
import { RpcServer } from '../rpc/index.js';
import { VERSION } from '../version.js';
import type { SupervisorApi } from './api.js';
import { InstanceDirectory } from './instance-directory.js';
import { Instance } from './instance.js';
import { OwnerWatch } from './owner-watch.js';
import { isAlive } from './processes.js';
import { createOperations } from './provider.js';
import { Supervisor } from './supervisor.js';

const EXIT_ANOTHER_RUNS = 3;
const CLOSE_BOUND_MS = 1_000;

async function run(): Promise<void> {
  const { values } = parseArgs({ options: { instance: { type: 'string' } } });
  const directory = InstanceDirectory.of(values.instance ?? '');
  await claim(directory);
  const record = await directory.readInstance();
  const operations = createOperations(record?.spec.provider ?? 'embedded', directory.paths);
  const instance = await Instance.open(directory, operations);
  const supervisor = new Supervisor(instance);
  const server = new RpcServer<SupervisorApi>(supervisor.handlers);
  supervisor.start();
  await server.listen(directory.paths.supervisorSocket, () => {
    log(`${directory.paths.supervisorSocket} was removed: nobody can reach this supervisor any more`);
    process.exit(0);
  });
  const owner = new OwnerWatch(instance, () => supervisor.down(true));
  await supervisor.ended;
  await owner.end();
  // A caller that does not let go must not keep us.
  await Promise.race([server.close(), delay(CLOSE_BOUND_MS)]);
}

/** Only one supervisor: whoever starts one holds the instance's lock, so a look is enough. */
async function claim(directory: InstanceDirectory): Promise<void> {
  const own = processIdentity(process.pid);
  const other = (await directory.readSupervisor())?.process;
  if (other && other.pid !== process.pid && isAlive(other)) {
    log(`supervisor ${other.pid} runs already`);
    process.exit(EXIT_ANOTHER_RUNS);
  }
  if (own) await directory.writeSupervisor({ process: own, version: VERSION });
}

function log(message: string): void {
  logLine(`${new Date().toISOString()} ${message}`);
}

endIfLoadOnly();
// Files of an instance are for its owner only; engines make their own modes.
process.umask(0o077);
// The terminal that `up` was typed in may go away; Ctrl-C there is not meant for us (setsid keeps most of it away).
process.on('SIGHUP', () => undefined);
process.on('SIGINT', () => undefined);
// Crash-only: to be ended is an ordinary end. Proxy and engines live on, the next command starts a successor.
process.on('SIGTERM', () => process.exit(143));
process.on('uncaughtException', (error) => {
  log(`ended by an error that nobody caught: ${error.stack ?? String(error)}`);
  process.exit(1);
});

run().then(
  () => process.exit(0),
  (error: unknown) => {
    log(error instanceof Error ? (error.stack ?? error.message) : String(error));
    process.exit(1);
  },
);
