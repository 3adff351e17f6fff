#!/usr/bin/env -S npx tsx
// The command from the sources, without a build: `bin/dev.js up`. For contributors.
import { main } from '../src/cli/main.ts';

process.env.NODE_ENV = 'development';
await main(process.argv.slice(2), import.meta.url);
