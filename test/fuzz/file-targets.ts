/** Files of ours that somebody or a disk has changed: read as they are, or refused by name and left alone. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { readJson } from '../../src/control/json-file.js';
import { autoscaleRecord, instanceRecord, operationRecord } from '../../src/control/records.js';
import { DbproxyError } from '../../src/errors/index.js';
import { LogFile } from '../../src/multiwriter/storage/log-file.js';
import { frame, readFrames } from '../../src/multiwriter/storage/frames.js';
import { JsonLines } from '../../src/rpc/lines.js';
import { parseScenario } from '../../src/scenario/file/read.js';
import { bytes, cuts, edited, edits, inPieces } from './inputs.js';
import { property, pure, type Target } from './target.js';

/** The code of the error that the user reads; null: there was none. Anything else is thrown on. */
const refusal = async (work: () => unknown): Promise<DbproxyError | null> => {
  try {
    await work();
    return null;
  } catch (error) {
    if (error instanceof DbproxyError) return error;
    throw error;
  }
};

const inDirectory = (
  name: string,
  share: number,
  open: (directory: string) => Promise<fc.IAsyncProperty<unknown>>,
): Target => ({
  name,
  share,
  open: async () => {
    const directory = await mkdtemp(join(tmpdir(), 'dbp-fuzz-'));
    const close = (): Promise<void> => rm(directory, { recursive: true, force: true });
    return { property: await open(directory), cases: 1, close };
  },
});

const scenarios: Target = {
  name: 'scenario-file',
  share: 10,
  open: async () => {
    const directory = new URL('../../playground/scenarios/', import.meta.url);
    const names = (await readdir(directory)).filter((name) => name.endsWith('.yaml'));
    const texts = await Promise.all(names.map((name) => readFile(new URL(name, directory))));
    return {
      property: property(fc.tuple(fc.constantFrom(...texts), edits), async ([text, changes]) => {
        const changed = edited(text, changes).toString('utf8');
        const refused = await refusal(() => parseScenario('a.yaml', changed));
        if (!refused) return;
        assert.equal(refused.code, 'DBP_SCENARIO_INVALID');
        assert.match(refused.message, /a\.yaml:\d+/);
      }),
      cases: 1,
      close: () => Promise.resolve(),
    };
  },
};

const PROCESS = { pid: 4711, startTime: '123456' };
const RECORDS = [
  {
    schema: instanceRecord,
    value: {
      schema: 'dbproxy.instance/1',
      spec: {
        ...{ name: 'shop', provider: 'embedded', providerReason: 'asked for', postgres: '17', size: 'small' },
        ...{ host: '127.0.0.1', port: 6432, maxSessions: 200 },
      },
      ...{ wanted: 'running', primary: 'e1', nextEngine: 2, nextOperation: 1 },
      engines: [
        {
          ...{ id: 'e1', provider: 'embedded', role: 'primary', size: 'small', postgres: '17.10' },
          ...{ access: { kind: 'socket', directory: '/x/s', port: 5432 }, superuser: 'postgres' },
          ...{ directory: '/x/e1', logFile: '/x/e1/engine.log', systemIdentifier: '7', process: PROCESS },
        },
      ],
    },
  },
  {
    schema: operationRecord,
    value: {
      ...{ schema: 'dbproxy.operation/1', id: 'op-1', operation: 'scale', step: 'promote', detail: '' },
      ...{ attempt: 1, startedAt: '2026-11-29T08:00:00.000Z', from: 'e1', target: 'e2' },
    },
  },
  {
    schema: autoscaleRecord,
    value: {
      ...{ schema: 'dbproxy.autoscaler/1', enabled: true, size: null, restsSince: null, failures: 0 },
      policy: {
        ...{ min: 'small', max: 'large', cpuAbovePercent: 80, cpuBelowPercent: 20, activeAbove: null },
        ...{ queueAbove: null, forMs: 1_000, cooldownMs: 60_000 },
      },
      last: null,
    },
  },
] as const;

const stateFiles = inDirectory('state-file', 20, (directory) => {
  const file = join(directory, 'state.json');
  const input = fc.tuple(fc.constantFrom(...RECORDS), edits);
  return Promise.resolve(
    property(input, async ([{ schema, value }, changes]) => {
      const changed = edited(Buffer.from(JSON.stringify(value, null, 2)), changes);
      await writeFile(file, changed);
      const refused = await refusal(async () => {
        schema.parse(await readJson(file, schema as typeof instanceRecord));
      });
      if (refused) assert.equal(refused.code, 'DBP_INSTANCE_DAMAGED');
      assert.deepEqual(await readFile(file), changed);
    }),
  );
});

const STORE = ['store', 'n1'] as const;
const VOTES = Array.from({ length: 6 }, (_, i) => ({ vote: i, keys: [`k${i}`, 'é'] }));
const FRAMES = VOTES.map((vote) => frame(Buffer.from(JSON.stringify(vote))));

/** Nothing is read that was not written, and what is not at the end is never taken for a write that a crash cut off. */
const frames = pure('store-frames', 70, edits, (changes) => {
  const original = Buffer.concat(FRAMES);
  const changed = edited(original, changes);
  const { payloads, end, ending } = readFrames(changed, 0);
  assert.ok(end <= changed.length);
  const sameUpTo = changed.findIndex((byte, i) => byte !== original[i]);
  const known = sameUpTo < 0 ? changed.length : sameUpTo;
  let at = 0;
  for (const [i, whole] of FRAMES.entries()) {
    at += whole.length;
    if (at <= known) assert.deepEqual(payloads[i], Buffer.from(JSON.stringify(VOTES[i])));
  }
  const [change] = changes;
  const lastFrom = original.length - (FRAMES.at(-1)?.length ?? 0);
  const isFlip = changes.length === 1 && change?.kind === 'set' && !changed.equals(original);
  if (isFlip && change.at % (original.length + 1) < lastFrom) assert.equal(ending.kind, 'damaged');
});

const storeLogs = inDirectory('store-log', 5, async (directory) => {
  const made = await LogFile.create(directory, ...STORE);
  await made.append(VOTES);
  await made.close();
  const file = join(directory, 'log');
  const original = await readFile(file);
  return property(edits, async (changes) => {
    await writeFile(file, edited(original, changes));
    const seen = async (): Promise<unknown> => {
      const opened = await LogFile.open(directory, ...STORE);
      await opened?.log.close();
      return opened?.records;
    };
    let first: unknown;
    const refused = await refusal(async () => {
      first = await seen();
    });
    if (refused) assert.match(refused.code, /^DBP_STORE_(DAMAGED|FOREIGN)$/);
    // What was cut off is gone: the next start reads the same.
    else assert.deepEqual(await seen(), first);
  });
});

const lines = pure(
  'rpc-lines',
  30,
  fc.tuple(
    fc.array(
      fc.oneof(
        bytes,
        fc.json({ stringUnit: 'grapheme' }).map((text) => Buffer.from(`${text}\n`)),
      ),
    ),
    cuts,
  ),
  async ([chunks, places]) => {
    const whole = Buffer.concat(chunks);
    const read = async (pieces: readonly Buffer[]): Promise<unknown> => {
      const values: unknown[] = [];
      const reader = new JsonLines((value) => values.push(value));
      const refused = await refusal(() => {
        for (const piece of pieces) reader.push(piece);
      });
      return { values, refused: refused?.message };
    };
    assert.deepEqual(await read(inPieces(whole, places)), await read([whole]));
  },
);

export const fileTargets: readonly Target[] = [scenarios, stateFiles, frames, storeLogs, lines];
