#!/usr/bin/env node
// The command as it is installed. `--version` is answered here: it must not wait for the command framework to load.
import { createRequire } from 'node:module';

const argv = process.argv.slice(2);
if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-v')) {
  const { version } = createRequire(import.meta.url)('../package.json');
  console.log(`dbproxy ${version} (Node ${process.versions.node}, ${process.platform}-${process.arch})`);
} else {
  const { main } = await import('../dist/cli/main.js');
  await main(argv, import.meta.url);
}
