/** What a crash leaves of a log is told from damage: the one is cut off, the other is an error, and nothing is lost in silence. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { frame, readFrames } from '../../../src/multiwriter/storage/frames.js';
import { LogFile } from '../../../src/multiwriter/storage/log-file.js';

const payloads = ['{"a":1}', '{"b":"two"}', JSON.stringify({ c: randomBytes(5_000).toString('hex') })].map(
  (text) => Buffer.from(text),
);
const whole = Buffer.concat(payloads.map(frame));
const ends = payloads.map((_, i) => Buffer.concat(payloads.slice(0, i + 1).map(frame)).length);
const readable = (bytes: Buffer) => readFrames(bytes, 0);

describe('frames', () => {
  it('come back as they were', () => {
    expect(readable(whole)).toEqual({ payloads, end: whole.length, ending: { kind: 'whole' } });
  });

  it('cut at any byte: the whole ones are there, the rest is a torn end', () => {
    // Every byte of the small frames and of the large one's header, and some of its payload.
    for (let length = 0; length < whole.length; length += length < 100 ? 1 : 61) {
      const { payloads: found, ending, end } = readable(whole.subarray(0, length));
      const complete = ends.filter((one) => one <= length).length;
      expect(found).toHaveLength(complete);
      expect(end).toBe(ends[complete - 1] ?? 0);
      expect(ending.kind).toBe(end === length ? 'whole' : 'torn');
    }
  });

  it('any flipped bit is damage, never an end', () => {
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(7), (at, bit) => {
        const bent = Buffer.from(whole);
        bent[at] = bent[at]! ^ (1 << bit);
        expect(readable(bent).ending.kind).toBe('damaged');
      }),
      { seed: 7, numRuns: 2_000 },
    );
  });

  it('zeros behind the end, or in place of its last pages, were never filled', () => {
    expect(readable(Buffer.concat([whole, Buffer.alloc(5_000)]))).toMatchObject({
      end: whole.length,
      ending: { kind: 'torn' },
    });
    const unfilled = Buffer.from(whole).fill(0, 8_192);
    expect(readable(unfilled)).toMatchObject({ payloads: payloads.slice(0, 2), ending: { kind: 'torn' } });
  });
});

describe('a log', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'dbproxy-store-'));
  });
  afterEach(() => rm(directory, { recursive: true }));
  const reopen = () => LogFile.open<{ n: number }>(directory, 'shop', 's1');

  it('has what was appended, after a torn end as well, and goes on behind it', async () => {
    const log = await LogFile.create<{ n: number }>(directory, 'shop', 's1');
    await log.append([{ n: 1 }, { n: 2 }]);
    await log.close();
    await writeFile(join(directory, 'log'), frame(Buffer.from('{"n":3}')).subarray(0, 15), { flag: 'a' });
    const torn = await reopen();
    expect(torn).toMatchObject({ records: [{ n: 1 }, { n: 2 }], cutBytes: 15 });
    await torn!.log.append([{ n: 4 }]);
    await torn!.log.close();
    const found = await reopen();
    expect(found).toMatchObject({ records: [{ n: 1 }, { n: 2 }, { n: 4 }], cutBytes: 0 });
    expect(found!.log.position).toBe(3);
    await found!.log.close();
  });

  it('is rewritten in one step, and its position does not go back', async () => {
    const log = await LogFile.create<{ n: number }>(directory, 'shop', 's1');
    for (let n = 1; n <= 5; n++) await log.append([{ n }]);
    await log.rewrite([{ n: 15 }]);
    await log.append([{ n: 6 }]);
    await log.close();
    const found = await reopen();
    expect(found!.records).toEqual([{ n: 15 }, { n: 6 }]);
    expect(found!.log.position).toBe(6);
    await found!.log.close();
  });

  it('with a flipped bit is refused by name, and left as it is', async () => {
    const log = await LogFile.create<{ n: number }>(directory, 'shop', 's1');
    await log.append([{ n: 1 }]);
    await log.close();
    const bytes = await readFile(join(directory, 'log'));
    bytes[bytes.length - 1] = bytes[bytes.length - 1]! ^ 1;
    await writeFile(join(directory, 'log'), bytes);
    await expect(reopen()).rejects.toMatchObject({ code: 'DBP_STORE_DAMAGED' });
    expect(await readFile(join(directory, 'log'))).toEqual(bytes);
  });

  it('of another node or store is refused', async () => {
    await (await LogFile.create(directory, 'shop', 's1')).close();
    await expect(LogFile.open(directory, 'shop', 's2')).rejects.toMatchObject({ code: 'DBP_STORE_FOREIGN' });
    await expect(LogFile.open(directory, 'mart', 's1')).rejects.toMatchObject({ code: 'DBP_STORE_FOREIGN' });
  });
});
