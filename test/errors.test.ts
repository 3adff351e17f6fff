/** The error catalogue: every code is documented, raised somewhere, and fills its message. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { catalogue, DbproxyError, ExitCode, type ErrorCode } from '../src/errors/index.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const codes = Object.keys(catalogue) as ErrorCode[];
let sources = '';
let page = '';

beforeAll(async () => {
  const files = await readdir(join(root, 'src'), { recursive: true });
  const wanted = files.filter((file) => file.endsWith('.ts') && file !== join('errors', 'catalogue.ts'));
  sources = (await Promise.all(wanted.map((file) => readFile(join(root, 'src', file), 'utf8')))).join('\n');
  page = await readFile(join(root, 'docs/errors.md'), 'utf8');
});

describe.each(codes)('%s', (code) => {
  it('is raised somewhere in src/', () => expect(sources.includes(`'${code}'`)).toBe(true));
  it('is documented', () => expect(page.includes(`### ${code}\n`)).toBe(true));
  it('has an exit code of the contract', () => {
    expect(Object.values(ExitCode)).toContain(catalogue[code].exit);
  });
  it('names its area and is one line of plain words', () => {
    expect(code).toMatch(/^DBP_[A-Z]+(_[A-Z]+)*$/);
    expect(catalogue[code].message).not.toMatch(/[.!]$/);
  });
});

it('fills the message and the suggestions', () => {
  const error = new DbproxyError('DBP_ENV_PORT_TAKEN', {
    port: 6432,
    host: '::1',
    holder: 'x (pid 1)',
    free: 6433,
  });
  expect(error.message).toBe('port 6432 on ::1 is taken by x (pid 1)');
  expect(error.suggestions).toEqual(['dbproxy up --port 6433']);
});

it('survives the way through JSON', () => {
  const error = new DbproxyError('DBP_USAGE_UNKNOWN_SIZE', { size: 'huge', sizes: 'small' });
  const back = DbproxyError.fromJSON(JSON.parse(JSON.stringify(error)) as ReturnType<DbproxyError['toJSON']>);
  expect(back).toMatchObject({
    code: error.code,
    message: error.message,
    exitCode: 2,
    details: error.details,
  });
});

it('keeps the message of a code that it does not know', () => {
  const json = {
    schema: 'dbproxy.error/1',
    code: 'DBP_FROM_TOMORROW',
    message: 'new',
    suggestions: [],
  } as const;
  expect(DbproxyError.fromJSON(json)).toMatchObject({ code: 'DBP_INTERNAL', message: 'internal error: new' });
});
