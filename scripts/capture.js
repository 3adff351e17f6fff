/**
 * Plays the demo and keeps what it printed: docs/demo.svg for the README, docs/demo.md with date, machine and versions.
 * `npm run capture`; not part of the checks, because no two runs are the same.
 */
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { picture, plain } from './picture.js';

const root = new URL('..', import.meta.url);
function page(lines, exitCode) {
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'cpu'}, ${Math.round(totalmem() / 2 ** 30)} GB`;
  return [
    '# The demo, as it printed',
    `\`npm run demo\` on ${new Date().toISOString().slice(0, 10)}, ${machine}, Node ${process.versions.node}, ${process.platform}-${process.arch}; exit code ${exitCode}. A demo, not a benchmark: [performance](performance.md) has those.`,
    `\`\`\`text\n${lines.map((line) => plain(line).trimEnd()).join('\n')}\n\`\`\``,
    '',
  ].join('\n\n');
}

const { status, stdout, stderr } = spawnSync(process.execPath, ['bin/run.js', 'demo', 'run'], {
  cwd: root,
  encoding: 'utf8',
  env: { ...process.env, FORCE_COLOR: '1', NO_COLOR: '' },
});
process.stderr.write(stderr);
process.stdout.write(stdout);
if (status !== 0) {
  console.error(`not captured: the demo ended with ${status}`);
  process.exit(status ?? 1);
}
const lines = ['\u001b[2m$\u001b[22m npm run demo', '', ...stdout.trimEnd().split('\n')];
await writeFile(new URL('docs/demo.svg', root), picture(lines));
await writeFile(new URL('docs/demo.md', root), page(lines, status).trimEnd() + '\n');
