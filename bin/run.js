#!/usr/bin/env node
// The command as it is installed. `--version` and what a shell asks at TAB are answered here: they must not wait for the command
// framework to load.
import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';

const argv = process.argv.slice(2);
if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-v')) {
  const { version } = createRequire(import.meta.url)('../package.json');
  try {
    writeSync(1, `dbproxy ${version} (Node ${process.versions.node}, ${process.platform}-${process.arch})\n`);
  } catch {
    // What is to be said of that the framework knows.
    await runWithFramework(argv);
  }
} else if (argv[0] === '__complete') {
  const { printCompletions } = await import('../dist/cli/complete.js');
  await printCompletions(argv.slice(1), {
    scenarios: async () =>
      (await (await import('../dist/scenario/index.js')).listScenarios()).map(({ id }) => id),
    workloads: async () =>
      (await (await import('../dist/workload/index.js')).listWorkloads()).map(({ name }) => name),
  });
} else {
  showSign(argv);
  await runWithFramework(argv);
}

async function runWithFramework(words) {
  const { main } = await import('../dist/cli/main.js');
  await main(words, import.meta.url);
}

/** Something on the screen before the program is loaded. The writer (src/cli/output.ts) takes the line away again. */
function showSign([verb, ...flags]) {
  const slow = ['up', 'down', 'scale', 'check', 'demo', 'workload', 'engine'].includes(verb);
  const animated = process.stderr.isTTY && process.env.TERM !== 'dumb' && !process.env.CI;
  if (slow && animated && !flags.includes('--help') && !flags.includes('-h'))
    process.stderr.write(`⠋ ${verb}`);
}
