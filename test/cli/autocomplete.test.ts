/** Completion at TAB, in the real shells. No instance runs here. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BIN, Cli } from '../support/cli.js';
import { hasTmux, Terminal } from '../support/terminal.js';

let cli: Cli;
let bin: string;
let env: Record<string, string>;

beforeAll(async () => {
  cli = await Cli.open();
  bin = join(cli.home, 'bin');
  for (const name of ['shop', 'default'])
    await mkdir(join(cli.home, 'h', 'instances', name), { recursive: true });
  await mkdir(bin);
  await writeFile(join(cli.home, 'certificate.pem'), '');
  await symlink(BIN, join(bin, 'dbproxy'));
  await chmod(BIN, 0o755);
  env = {
    PATH: `${bin}:${process.env.PATH}`,
    HOME: cli.home,
    DBPROXY_HOME: join(cli.home, 'h'),
    TERM: 'xterm',
  };
});
afterAll(() => cli.close());

/** What bash has for these words; the last one is where the cursor is. */
const inBash = (words: readonly string[]): string[] =>
  execFileSync(
    'bash',
    [
      '-c',
      'source <(dbproxy autocomplete bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dbproxy dbproxy; printf "%s\\n" "${COMPREPLY[@]}"',
      'bash',
      ...['dbproxy', ...words],
    ],
    { env, encoding: 'utf8' },
  )
    .split('\n')
    .filter((line) => line !== '');

const SIZES = ['small', 'medium', 'large', 'xlarge'];

describe('bash', () => {
  it.each<[string, string[]]>([
    ['scale --to ', SIZES],
    ['up --size m', ['medium']],
    ['scale --to = la', ['large']],
    ['scale --to =', SIZES],
    ['scale --deadline 3s --on-timeout ', ['rollback', 'cancel']],
    ['scale --to large --dead', ['--deadline']],
    ['status --name ', ['default', 'shop']],
    ['status -n s', ['shop']],
    ['up --provider ', ['auto', 'embedded', 'docker']],
    ['up --writer-policy ', ['first', 'retries', 'priority']],
    ['patch --to 17', ['17.10']],
    ['sca', ['scale']],
    ['demo ', ['init', 'ls', 'run']],
    ['demo run session', ['session-state']],
    ['workload run tpcb', ['tpcb-like']],
    ['help scal', ['scale']],
    ['autocomplete ', ['bash', 'zsh']],
    ['nonsense ', []],
    ['psql -- --', []],
  ])('%s', (line, offered) => {
    expect(inBash(line.split(' ')).sort()).toEqual([...offered].sort());
  });
});

const hasZsh = spawnSync('zsh', ['--version']).status === 0;

describe.skipIf(!hasTmux)('a person presses TAB', () => {
  const inTerminal = async (begin: readonly string[]): Promise<void> => {
    const terminal = await Terminal.open({ columns: 100, rows: 30, env });
    try {
      for (const line of [`cd ${cli.home}; PATH=${bin}:$PATH`, ...begin]) await terminal.type(line);
      await terminal.type('echo be""gun');
      await terminal.shows('begun');
      await terminal.keys('dbproxy scale --to=la', 'Tab');
      await terminal.shows('dbproxy scale --to=large');
      await terminal.keys(' --name sh', 'Tab');
      await terminal.shows(/--name shop/);
      await terminal.keys('C-u');
      await terminal.keys('dbproxy up --tls-cert ./certi', 'Tab');
      await terminal.shows('--tls-cert ./certificate.pem');
    } finally {
      await terminal.close();
    }
  };

  it('in bash', () => inTerminal(['source <(dbproxy autocomplete bash)']));

  it.skipIf(!hasZsh)('in zsh', () =>
    inTerminal(['exec zsh -f', 'autoload -Uz compinit; compinit -u; source <(dbproxy autocomplete zsh)']),
  );
});
