/** Every command line of the documentation names commands, flags and scripts that exist. */
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { distinctLines, ROOT } from './shell-lines.js';

const lines = await distinctLines();

describe('names commands and flags that exist', async () => {
  const manifest = await readManifest();
  const scripts = await readScripts();

  test.each(lines.map(({ text, page }) => [text, page] as const))('%s (%s)', (text) => {
    for (const words of invocations(text)) manifest.check(words);
    for (const [, name] of text.matchAll(/npm run ([\w:-]+)/g)) expect(scripts).toContain(name);
  });

  test('there are lines to look at, on many pages', () => {
    expect(new Set(lines.map(({ page }) => page)).size).toBeGreaterThan(20);
    expect(lines.length).toBeGreaterThan(60);
  });
});

/** What follows each `dbproxy` of a line, up to a `--`, a quote or the end of the command. */
const invocations = (text: string): string[][] =>
  [...text.matchAll(/\bdbproxy ([^)"';|&]*)/g)].map(([, rest = '']) =>
    rest
      .split(/(?:^|\s)--(?:\s|$)/)[0]!
      .split(/\s+/)
      .filter((word) => word !== ''),
  );

interface Command {
  readonly aliases: readonly string[];
  readonly flags: Readonly<
    Record<string, { readonly name: string; readonly char?: string; readonly allowNo?: boolean }>
  >;
}

async function readManifest(): Promise<{ check: (words: readonly string[]) => void }> {
  const text = await readFile(`${ROOT}/oclif.manifest.json`, 'utf8');
  const { commands } = JSON.parse(text) as { commands: Record<string, Command> };
  const byName = new Map(
    Object.entries(commands).flatMap(([id, command]) =>
      [id, ...command.aliases].map((name) => [name.replaceAll(':', ' '), command] as const),
    ),
  );
  return {
    check: (words) => {
      if (words[0] === undefined || words[0].startsWith('--')) return;
      const command = byName.get(words.slice(0, 2).join(' ')) ?? byName.get(words[0]);
      expect(command ?? words[0] === 'help', `dbproxy ${words.join(' ')}`).toBeTruthy();
      const known = Object.values(command?.flags ?? {}).flatMap(({ name, char, allowNo }) => [
        `--${name}`,
        ...(char ? [`-${char}`] : []),
        ...(allowNo ? [`--no-${name}`] : []),
      ]);
      const used = words.filter((word) => /^--?[a-z]/.test(word)).map((word) => word.replace(/=.*/, ''));
      if (command) expect(known).toEqual(expect.arrayContaining(used));
    },
  };
}

async function readScripts(): Promise<string[]> {
  const { scripts } = JSON.parse(await readFile(`${ROOT}/package.json`, 'utf8')) as { scripts: object };
  return Object.keys(scripts);
}
