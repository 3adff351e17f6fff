/**
 * Plays the demo and keeps what it printed: docs/demo.svg for the README, docs/demo.md with date, machine and versions.
 * `npm run capture`; not part of the checks, because no two runs are the same.
 */
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';

const root = new URL('..', import.meta.url);
const COLUMN_PX = 8.43;
const LINE_PX = 20;
const MARGIN_PX = 20;
const COLORS = { 31: '#f7768e', 32: '#9ece6a', 33: '#e0af68', 36: '#7dcfff' };
const ESCAPES = /\u001b\[([\d;]*)m/g;

const escapeXml = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const plain = (text) => text.replace(ESCAPES, '');

/** One line of terminal output as tspans: bold, dim and the four colours that src/cli/style.ts uses. */
function spans(line) {
  const state = { bold: false, dim: false, color: undefined };
  const parts = line.split(/(\u001b\[[\d;]*m)/);
  return parts
    .map((part) => {
      const code = /^\u001b\[([\d;]*)m$/.exec(part)?.[1];
      if (code === undefined)
        return part === '' ? '' : `<tspan${attributes(state)}>${escapeXml(part)}</tspan>`;
      for (const number of code.split(';').map(Number)) apply(state, number);
      return '';
    })
    .join('');
}

function apply(state, code) {
  if (code === 1) state.bold = true;
  else if (code === 2) state.dim = true;
  else if (code === 22) state.bold = state.dim = false;
  else if (code === 39) state.color = undefined;
  else if (code === 0) Object.assign(state, { bold: false, dim: false, color: undefined });
  else if (COLORS[code]) state.color = COLORS[code];
}

const attributes = ({ bold, dim, color }) =>
  [bold && ' font-weight="bold"', dim && ' fill-opacity="0.6"', color && ` fill="${color}"`]
    .filter(Boolean)
    .join('');

function picture(lines) {
  const width = Math.ceil(Math.max(...lines.map((line) => plain(line).length)) * COLUMN_PX + 2 * MARGIN_PX);
  const height = lines.length * LINE_PX + 2 * MARGIN_PX;
  const text = lines.map(
    (line, index) =>
      `  <text x="${MARGIN_PX}" y="${MARGIN_PX + (index + 0.75) * LINE_PX}">${spans(line)}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
    `  <rect width="100%" height="100%" rx="8" fill="#1a1b26"/>`,
    `  <g fill="#c0caf5" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14" xml:space="preserve" style="white-space: pre">`,
    ...text,
    '  </g>',
    '</svg>',
    '',
  ].join('\n');
}

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
