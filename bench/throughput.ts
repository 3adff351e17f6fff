/**
 * What passes in large pieces: results and COPY, in MB/s, straight to the engine, through dbproxy and through HAProxy, by turns. And
 * whether others feel it: latency of small transactions beside a large result, in the same proxy.
 *
 *   npm run bench:throughput -- [--rounds 5] [--megabytes 500]
 */
import { parseArgs } from 'node:util';
import { initialiseWorkload } from '../src/workload/index.js';
import { socketUrl, startEngine } from './support/engine.js';
import { pgbench } from './support/pgbench.js';
import { startDbproxy, startHaproxy, type Relay } from './support/relays.js';
import { conditions, conditionsLine, markdown, median, save } from './support/report.js';
import { requireTools } from './support/tools.js';
import { KINDS, type Kind, type Place } from './throughput/transfer.js';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, megabytes: { type: 'string', default: '500' } },
});
const ROUNDS = Number(values.rounds);
const MEGABYTES = Number(values.megabytes);
const kinds = Object.keys(KINDS) as Kind[];
/** Of the small transactions. */
const RATE = 500;
const CLIENTS = 4;
const SECONDS = 4;
/** Beside them. */
const GIGABYTE = 1_000;

const tools = await requireTools(['pgbench', 'haproxy']);
const bench = await startEngine('medium', { inMemory: true });
const relays: Relay[] = [];
const { superuser: user } = bench.engine;
const { password } = bench;
const direct: Place = {
  where: { path: `${bench.socket.directory}/.s.PGSQL.${bench.socket.port}` },
  user,
  password,
};
try {
  await initialiseWorkload({ url: socketUrl(bench), scale: 2 });
  relays.push(await startDbproxy(bench));
  relays.push(await startHaproxy(bench));
  const places = new Map<string, Place>([
    ['direct', direct],
    ...relays.map(({ name, port }) => [name, { where: port, user, password }] as const),
  ]);

  const rates = new Map<string, number[]>();
  for (let round = 0; round <= ROUNDS; round++)
    for (const kind of kinds)
      for (const [name, place] of places) {
        const { bytes, seconds } = await KINDS[kind](place, round === 0 ? MEGABYTES / 10 : MEGABYTES);
        // The first one warms up.
        if (round === 0) continue;
        const rate = bytes / 1e6 / seconds;
        rates.set(`${kind} ${name}`, [...(rates.get(`${kind} ${name}`) ?? []), rate]);
        process.stderr.write(`round ${round}/${ROUNDS} ${kind} ${name}: ${rate.toFixed(0)} MB/s\n`);
      }

  const fairness = [];
  for (const relay of relays) {
    const alone: number[] = [];
    const beside: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      alone.push(await p99Of(relay));
      beside.push(await whileTransferring({ where: relay.port, user, password }, () => p99Of(relay)));
      process.stderr.write(
        `${relay.name}: p99 alone ${alone.at(-1)?.toFixed(2)} ms, beside ${beside.at(-1)?.toFixed(2)} ms\n`,
      );
    }
    fairness.push({ name: relay.name, alone: median(alone), beside: median(beside) });
  }

  const rateOf = (kind: Kind, name: string): number => median(rates.get(`${kind} ${name}`) ?? []);
  const names = [...places.keys()];
  const peer = names.at(-1) ?? '';
  const about = conditions(bench.engine.postgres, tools);
  await save('throughput', {
    schema: 'dbproxy.bench-throughput/1',
    about,
    rounds: ROUNDS,
    megabytes: MEGABYTES,
    rates: Object.fromEntries(rates),
    fairness,
  });
  print(conditionsLine(about));
  print(
    markdown(
      ['one connection', ...names.map((name) => `${name} MB/s`), `dbproxy × ${peer}`],
      kinds.map((kind) => [
        kind,
        ...names.map((name) => rateOf(kind, name).toFixed(0)),
        (rateOf(kind, 'dbproxy') / rateOf(kind, peer)).toFixed(2),
      ]),
    ),
  );
  print(
    markdown(
      ['p99 of small transactions, ms', 'alone', 'beside a result of 1 GB', 'more by'],
      fairness.map(({ name, alone, beside }) => [
        name,
        alone.toFixed(2),
        beside.toFixed(2),
        (beside - alone).toFixed(2),
      ]),
    ),
  );
  print(
    `Median of ${ROUNDS} rounds, by turns; ${MEGABYTES} MB each. Small transactions: select-only, prepared, ${RATE}/s, ${CLIENTS} clients.`,
  );
} finally {
  for (const relay of relays) await relay.stop();
  await bench.close();
}

async function p99Of({ port }: Relay): Promise<number> {
  const where = { host: '127.0.0.1', port, user, password };
  const load = { clients: CLIENTS, protocol: 'prepared', seconds: SECONDS, rate: RATE, logged: 1 } as const;
  return (await pgbench({ ...where, ...load })).p99Ms;
}

/** One result of a gigabyte after the other, for as long as `work` takes. */
async function whileTransferring<T>(place: Place, work: () => Promise<T>): Promise<T> {
  let isOver = false;
  const transfers = (async () => {
    while (!isOver) await KINDS['large result'](place, GIGABYTE);
  })();
  try {
    return await work();
  } finally {
    isOver = true;
    await transfers;
  }
}

function print(text: string): void {
  process.stdout.write(`\n${text}\n`);
}
