/** Next steps act on the instance that the command was for. The commands are those of the manifest. */
import { fileURLToPath } from 'node:url';
import { Config } from '@oclif/core/config';
import { beforeAll, describe, expect, it } from 'vitest';
import { addressingOf } from '../../src/cli/addressing.js';
import { catalogue } from '../../src/errors/index.js';

let config: Config;
beforeAll(async () => {
  config = await Config.load({ root: fileURLToPath(new URL('../..', import.meta.url)) });
});
const said = (text: string, ...argv: string[]): string => addressingOf(config, 'scale', argv)(text);

describe('a next step', () => {
  it.each([
    ['dbproxy scale --to large', 'dbproxy scale --name shop --to large'],
    ['dbproxy down, then this once more', 'dbproxy down --name shop, then this once more'],
    ['dbproxy logs e1', 'dbproxy logs --name shop e1'],
    ['dbproxy autoscale status', 'dbproxy autoscale status --name shop'],
    ['dbproxy workload run tpcb-like --init', 'dbproxy workload run --name shop tpcb-like --init'],
    ['dbproxy url shows the password', 'dbproxy url --name shop shows the password'],
    ['dbproxy up: it is built again', 'dbproxy up --name shop: it is built again'],
    [
      'it goes on; watch it: dbproxy events --follow',
      'it goes on; watch it: dbproxy events --name shop --follow',
    ],
    [
      'dbproxy doctor, then dbproxy up and dbproxy status',
      'dbproxy doctor, then dbproxy up --name shop and dbproxy status --name shop',
    ],
  ])('%s', (text, expected) => expect(said(text, '--name', 'shop')).toBe(expected));

  it.each([
    'dbproxy up --name other',
    'dbproxy down --purge -n other',
    'dbproxy engine ls --available',
    'dbproxy doctor',
    'dbproxy help workload run',
    'dbproxy --version',
    'dbproxy demo run FILE --keep, and look',
    'retry the transaction',
  ])('stays: %s', (text) => expect(said(text, '--name', 'shop')).toBe(text));

  it.each([
    [['--name', 'shop']],
    [['--name=shop']],
    [['-n', 'shop']],
    [['-nshop']],
    [['--to', 'x', '-n=shop']],
  ])('is for the instance of %j', (argv) =>
    expect(said('dbproxy status', ...argv)).toBe('dbproxy status --name shop'),
  );

  it.each([
    [[]],
    [['--name', 'default']],
    [['--', '--name', 'shop']],
    [['--name']],
    [['--name', 'Not a name']],
  ])('stays as it is with %j', (argv) => expect(said('dbproxy status', ...argv)).toBe('dbproxy status'));

  it.each([[['--name', 'shop', '--writer', '2']], [['--name', 'shop.w2']]])(
    'is for the writer of %j, where a command is about one of them',
    (argv) => {
      expect(said('dbproxy status', ...argv)).toBe('dbproxy status --name shop --writer 2');
      expect(said('dbproxy status --writer 1', ...argv)).toBe('dbproxy status --name shop --writer 1');
      expect(said('dbproxy up --size large', ...argv)).toBe('dbproxy up --name shop --size large');
    },
  );

  it('is for no instance after a command that has none', () => {
    expect(addressingOf(config, 'doctor', ['--name', 'shop'])('dbproxy status')).toBe('dbproxy status');
    expect(said('dbproxy status --all', '--name', 'shop')).toBe('dbproxy status --all');
  });

  it('of the catalogue names an instance, whatever the error', () => {
    const texts = Object.values(catalogue).flatMap(({ suggestions }): readonly string[] => suggestions);
    for (const text of texts.filter((each) => /dbproxy (status|events|scale|patch|up|down)\b/.test(each)))
      expect(said(text, '--name', 'shop')).toMatch(/ --name /);
  });
});
