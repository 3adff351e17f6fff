/** action.yml: its inputs are used and documented, and its shell steps do here what they do on GitHub. */
import { mkdir, mkdtemp, readFile, rm, writeFile, chmod } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { providerEnv } from '../support/cli.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface Step {
  readonly name?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly shell?: string;
  readonly if?: string;
  readonly env?: Readonly<Record<string, string>>;
}

interface Action {
  readonly inputs: Readonly<Record<string, { readonly description: string; readonly default: string }>>;
  readonly outputs: Readonly<Record<string, { readonly value: string }>>;
  readonly runs: { readonly using: string; readonly steps: readonly Step[] };
}

const text = await readFile(join(ROOT, 'action.yml'), 'utf8');
const action = parse(text) as Action;

describe('inputs', () => {
  const used = new Set([...text.matchAll(/\binputs\.([\w-]+)/g)].map(([, name]) => name));

  test('each is used, and each that is used is there', () => {
    expect([...used].sort()).toEqual(Object.keys(action.inputs).sort());
  });

  test('each is documented, with its default', async () => {
    const page = await readFile(join(ROOT, 'docs/ci.md'), 'utf8');
    const rows = [...page.matchAll(/^\| `([\w-]+)` +\| (?:`(.*?)`)? +\|/gm)];
    const documented = Object.fromEntries(rows.map(([, name = '', value = '']) => [name, value]));
    const defaults = Object.entries(action.inputs).map(([name, input]) => [name, input.default]);
    expect(documented).toEqual(Object.fromEntries(defaults));
    for (const { description } of Object.values(action.inputs)) expect(description).not.toBe('');
  });

  test('no expression stands in a script, where a value could be run', () => {
    for (const { run = '' } of action.runs.steps) expect(run).not.toContain('${{');
  });

  test('actions of others are pinned to a version', () => {
    const uses = action.runs.steps.flatMap((step) => (step.uses === undefined ? [] : [step.uses]));
    expect(uses).toEqual([expect.stringMatching(/@v\d+$/), expect.stringMatching(/@v\d+$/)]);
  });
});

describe('its shell steps', () => {
  let home: string;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'dbpa-'));
    await chmod(home, 0o711);
    await mkdir(join(home, 'repository'));
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  /** As GitHub runs `shell: bash`. */
  function step(
    name: string,
    inputs: Readonly<Record<string, string>>,
  ): Promise<{ code: number | null; output: string }> {
    const found = action.runs.steps.find((each) => each.name === name);
    expect(found).toMatchObject({ shell: 'bash' });
    const values: Record<string, string> = { 'github.action_path': ROOT };
    for (const [key, input] of Object.entries(action.inputs))
      values[`inputs.${key}`] = inputs[key] ?? input.default;
    const env = Object.entries(found?.env ?? {}).map(([key, value]) => [
      key,
      value.replace(/\$\{\{ ([\w.-]+) \}\}/g, (_, expression: string) => values[expression] ?? '?'),
    ]);
    const child = spawn('bash', ['--noprofile', '--norc', '-eo', 'pipefail', '-c', found?.run ?? 'false'], {
      cwd: join(home, 'repository'),
      env: {
        PATH: `${join(home, 'npm/bin')}${delimiter}${process.env.PATH}`,
        HOME: home,
        NPM_CONFIG_PREFIX: join(home, 'npm'),
        DBPROXY_HOME: join(home, 'h'),
        ...providerEnv(),
        ...(Object.fromEntries(env) as Record<string, string>),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += String(chunk)));
    return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })));
  }

  test('install what is named, and play what is there: results and an exit code', async () => {
    const installed = await step('Install dbproxy', { package: ROOT });
    expect(installed.output).toMatch(/dbproxy \d+\.\d+\.\d+ \(Node/);
    expect(installed.code).toBe(0);

    const scenario = (name: string, size: string): string =>
      `version: 1\nname: ${name}\nengine: { size: small }\nsteps:\n  - scale: { to: medium }\nexpect:\n` +
      `  - sql: select 1\n    equals: ${size}\n`;
    await writeFile(join(home, 'repository/good.yaml'), scenario('good', '1'));
    await writeFile(join(home, 'repository/wrong.yaml'), scenario('wrong', '2'));

    const played = await step('Play the scenarios', { scenarios: '*.yaml', results: 'out/results' });
    expect(played.code, played.output).toBe(3);
    const result = (name: string): Promise<string> =>
      readFile(join(home, 'repository/out/results', name), 'utf8');
    expect(await result('junit.xml')).toContain('<testsuite');
    expect(await result('summary.md')).toContain('wrong');
    expect(await result('report.html')).toContain('<title>dbproxy: good passed, wrong failed</title>');

    const good = await step('Play the scenarios', { scenarios: 'good.yaml' });
    expect(good.code, good.output).toBe(0);
  }, 180_000);
});
