#!/usr/bin/env node
// The command as the sources are now: builds what has changed, then runs it. For contributors: `bin/dev.js up --name mine`.
// The supervisor, the proxy and the load are built programs of their own, so nothing runs from the sources directly.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
if (status !== 0) process.exit(status ?? 1);

const { main } = await import('../dist/cli/main.js');
await main(process.argv.slice(2), import.meta.url, { ignoreManifest: true });
