/**
 * `npm run mutants [-- PART…]`: does every test that claims to show that a kind of state moves fail when it does not? Runs the
 * tests named in src/session-state/evidence.ts as they are, when all must pass, and then those of each part without its replay
 * (src/session-state/without-replay.ts), when all must fail. A test that did not run, or whose preparation broke, shows nothing and
 * counts as survived. Ends with 1 if a mutant survives. For the nightly run: about a minute in all on two cores.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { evidence, mutants } from '../dist/session-state/evidence.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const LEFT_OUT = 'DBPROXY_TEST_WITHOUT_REPLAY';

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
/** A name as it stands in the file: what stands for a value of `each` may be anything. */
const patternOf = (name) => escaped(name).replace(/%[sidj]/g, '.*');

/** Title and status of every test of that name, in all variants of its file. */
async function run(tests, env) {
  const directory = await mkdtemp(join(tmpdir(), 'dbp-mutants-'));
  try {
    const report = join(directory, 'report.json');
    const files = [...new Set(tests.map(({ file }) => file))];
    const pattern = tests.map(({ name }) => patternOf(name)).join('|');
    const args = ['vitest', 'run', ...files, '-t', pattern, '--reporter=json', `--outputFile=${report}`];
    const child = spawn('npx', args, { cwd: root, stdio: 'ignore', env: { ...process.env, ...env } });
    await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
    const { testResults } = JSON.parse(await readFile(report, 'utf8'));
    return testResults.flatMap(({ name: file, assertionResults }) =>
      assertionResults.map(({ title, status }) => ({ file, title, status })),
    );
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Those of `tests` of which not every variant ended as `wanted`. */
const others = (tests, results, wanted) =>
  tests.filter(({ file, name }) => {
    const ofTest = results.filter(
      (result) => result.file.endsWith(file) && new RegExp(`^${patternOf(name)}$`).test(result.title),
    );
    return ofTest.length === 0 || ofTest.some(({ status }) => status !== wanted);
  });

const asked = process.argv.slice(2);
const unknown = asked.filter((part) => !mutants.includes(part));
if (unknown.length > 0) {
  console.error(`no such part: ${unknown.join(', ')}; there are ${mutants.join(', ')}`);
  process.exit(2);
}
const parts = asked.length > 0 ? asked : mutants;

const all = parts.flatMap((part) => evidence[part].tests);
const broken = others(all, await run(all, {}), 'passed');
for (const { file, name } of broken) console.log(`does not pass as it is: ${file}: ${name}`);

let survivors = broken.length;
for (const part of parts) {
  const { tests } = evidence[part];
  const started = performance.now();
  const survived = others(tests, await run(tests, { [LEFT_OUT]: part }), 'failed');
  survivors += survived.length;
  const verdict = survived.length === 0 ? 'killed' : 'SURVIVED';
  const seconds = ((performance.now() - started) / 1_000).toFixed(1);
  console.log(`${verdict.padEnd(8)}  ${part.padEnd(20)}  ${tests.length} tests  ${seconds} s`);
  for (const { file, name } of survived) console.log(`          ${file}: ${name}`);
}
console.log(survivors === 0 ? `${parts.length} mutants killed` : `${survivors} tests show nothing`);
process.exitCode = survivors === 0 ? 0 : 1;
