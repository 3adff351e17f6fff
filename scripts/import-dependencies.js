/** Loads every runtime dependency once: npm's engine warnings cannot be trusted, an import can. */
import { readFile } from 'node:fs/promises';

const { dependencies } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
// @peculiar/x509 needs it there first.
await import('reflect-metadata');
for (const name of Object.keys(dependencies)) {
  await import(name);
  console.log(`loads on Node ${process.versions.node}: ${name}`);
}
