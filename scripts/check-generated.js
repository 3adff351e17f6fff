/** Fails when a generated file is not what the sources say: the command manifest and the pages made from the sources. */
import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { generatedFiles } from './docs.js';

const root = new URL('..', import.meta.url);
const before = new Map();
for (const path of await generatedFiles())
  before.set(path, await readFile(new URL(path, root), 'utf8').catch(() => ''));
execFileSync('npm', ['run', '--silent', 'docs'], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
const stale = (await generatedFiles()).filter((path) => !before.has(path));
for (const [path, text] of before) {
  if ((await readFile(new URL(path, root), 'utf8').catch(() => '')) !== text) stale.push(path);
}
if (stale.length > 0) {
  console.error(`stale, made anew now; commit them: ${stale.join(', ')}`);
  process.exitCode = 1;
}
