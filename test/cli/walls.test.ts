/** The walls between the folders of src/: an import that crosses one is a lint error, one that is allowed is none. */
import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';
import { beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
let eslint: ESLint;

beforeAll(() => {
  eslint = new ESLint({
    cwd: root,
    ruleFilter: ({ ruleId }) => ruleId.startsWith('boundaries/'),
    overrideConfig: [
      // The walls need no types; a program for every line of this test would take long.
      { files: ['src/**/*.ts'], languageOptions: { parserOptions: { project: null } } },
    ],
  });
});

async function complaints(file: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: `${root}/src/${file}` });
  return (result?.messages ?? []).map(({ message }) => message);
}

describe('crossing imports', () => {
  it.each([
    ['protocol/codes.ts', "import '../errors/index.js';"],
    ['errors/index.ts', "import '../rpc/index.js';"],
    ['rpc/index.ts', "import '../engine/index.js';"],
    ['session-state/index.ts', "import '../proxy/main.js';"],
    ['proxy/main.ts', "import '../engine/index.js';"],
    ['proxy/main.ts', "import '../control/client.js';"],
    ['engine/index.ts', "import '../proxy/main.js';"],
    ['engine/index.ts', "import '../control/client.js';"],
    ['switchover/index.ts', "import '../proxy/main.js';"],
    ['switchover/index.ts', "import '../session-state/index.js';"],
    ['control/client.ts', "import '../proxy/main.js';"],
    ['control/client.ts', "import '../cli/output.js';"],
    ['tui/index.ts', "import '../control/client.js';"],
    ['tui/model.ts', "import '../cli/output.js';"],
    ['workload/index.ts', "import '../control/client.js';"],
    ['multiwriter/storage/main.ts', "import '../../engine/index.js';"],
    ['scenario/index.ts', "import '../cli/output.js';"],
    ['cli/main.ts', "import '../commands/up.js';"],
    ['cli/main.ts', "import '../proxy/main.js';"],
    ['playground/start.ts', "import '../commands/up.js';"],
    ['index.ts', "import './control/client.js';"],
    ['commands/up.ts', "import '../index.js';"],
    ['commands/up.ts', "import '../proxy/main.js';"],
    ['commands/up.ts', "await import('../switchover/index.js');"],
    ['commands/up.ts', "export * from '../session-state/index.js';"],
  ])('%s: %s', async (file, code) => {
    expect(await complaints(file, code)).toEqual([expect.stringContaining('a wall: src/')]);
  });

  it('takes types through some walls where values cannot pass', async () => {
    const types = "import type { ProxyApi } from '../proxy/control-api.js';";
    expect(await complaints('switchover/index.ts', types)).toEqual([]);
    expect(await complaints('switchover/index.ts', types.replace('import type', 'import'))).toHaveLength(1);
  });
});

describe('allowed imports', () => {
  it.each([
    ['protocol/codes.ts', "import './limits.js';"],
    ['protocol/codes.ts', "import { Buffer } from 'node:buffer';"],
    ['session-state/index.ts', "import '../protocol/index.js';"],
    ['proxy/main.ts', "import '../rpc/index.js';"],
    ['control/client.ts', "import '../engine/index.js';"],
    ['commands/up.ts', "import '../control/client.js';"],
    ['commands/up.ts', "import { Command } from '@oclif/core/command';"],
    ['proxy/main.ts', "import '../version.js';"],
    ['index.ts', "import './playground/start.js';"],
    ['index.ts', "import type { SizeName } from './engine/types.js';"],
    ['tui/model.ts', "import type { StatusResult } from '../control/api.js';"],
    ['tui/app.tsx', "import '../cli/format.js';"],
    ['cli/open-watch.ts', "await import('../tui/index.js');"],
  ])('%s: %s', async (file, code) => {
    expect(await complaints(file, code)).toEqual([]);
  });
});

it('knows every folder of src/', async () => {
  expect(await complaints('nowhere/new.ts', 'export {};')).not.toEqual([]);
});
