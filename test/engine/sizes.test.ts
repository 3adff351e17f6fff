import { describe, expect, it } from 'vitest';
import { capSize, sizeSettings, SIZE_NAMES, type Machine } from '../../src/engine/index.js';

const GIB = 1024 ** 3;
const big: Machine = { cpus: 16, memoryBytes: 64 * GIB };

describe('sizes', () => {
  it('are not capped on a machine that has it all', () => {
    for (const size of SIZE_NAMES) expect(capSize(size, big).capped).toBeNull();
    expect(capSize('xlarge', big)).toMatchObject({ cpus: 8, memoryBytes: 4 * GIB });
  });

  it('say what a smaller machine takes away', () => {
    const machine: Machine = { cpus: 2, memoryBytes: 1.5 * GIB };
    expect(capSize('medium', machine).capped).toBeNull();
    expect(capSize('large', machine)).toEqual({
      cpus: 2,
      memoryBytes: 1.5 * GIB,
      capped: 'size large is capped at this machine: 2 of 4 cpus, 1536 of 2048 MiB',
    });
  });

  it('give each bigger size more shared memory, work memory and workers', () => {
    const number = (size: (typeof SIZE_NAMES)[number], name: string): number =>
      Number.parseInt(sizeSettings(size, big)[name] ?? '', 10);
    for (const name of ['shared_buffers', 'work_mem', 'effective_cache_size', 'max_parallel_workers']) {
      const values = SIZE_NAMES.map((size) => number(size, name));
      expect(values, name).toEqual([...new Set(values)].sort((a, b) => a - b));
    }
    expect(sizeSettings('small', big)).toMatchObject({
      shared_buffers: '128MB',
      effective_cache_size: '384MB',
      work_mem: '4MB',
      max_parallel_workers: '1',
      max_parallel_workers_per_gather: '0',
    });
  });

  it('never set what a standby must have as large as its primary', () => {
    const same = ['max_connections', 'max_worker_processes', 'max_wal_senders', 'max_locks_per_transaction'];
    for (const size of SIZE_NAMES)
      expect(Object.keys(sizeSettings(size, big))).not.toEqual(expect.arrayContaining(same));
  });
});
