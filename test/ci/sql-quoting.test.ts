/** The lint rule for SQL (scripts/sql-quoting.js), as `npm run lint` has it: what it finds, and what it lets pass. */
import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';
import { describe, expect, it } from 'vitest';

const cwd = fileURLToPath(new URL('../..', import.meta.url));
// With CI set the parser takes a file for what is on the disk, and there is other text in it here.
process.env['TSESTREE_SINGLE_RUN'] = 'false';
const eslint = new ESLint({ cwd });
/** One that is in the project, for the types. */
const FILE = 'src/session-state/held-cursor-replay.ts';

const BEFORE = `
declare const name: string, names: string[], count: number, way: 'asc' | 'desc', flag: boolean;
declare const NAME: string;
declare function quoted(name: string): string;
declare function literal(text: string): string;
declare function loud(text: string): string;
`;

/** What it says of an expression. */
async function findings(expression: string): Promise<string[]> {
  const [result] = await eslint.lintText(`${BEFORE}export const sql = ${expression};\n`, {
    filePath: `${cwd}${FILE}`,
  });
  const errors = result?.messages.filter(({ fatal }) => fatal) ?? [];
  expect(errors).toEqual([]);
  return (result?.messages ?? [])
    .filter(({ ruleId }) => ruleId === 'dbproxy/sql-quoting')
    .map(({ message }) => message.split(' goes ')[0] ?? '');
}

describe('found', () => {
  it.each([
    ['`drop table ${name}`', ['name']],
    ["`select * from t where n = '${name}'`", ['name']],
    ['`\n  SELECT ${loud(name)} FROM ${name}`', ['loud(name)', 'name']],
    ['`insert into ${quoted(name)} values (${name})`', ['name']],
    ['`update ${NAME} set n = ${flag ? name : 1}`', ['flag ? name : 1']],
    ["`select ${names.join(', ')} from t`", ["names.join(', ')"]],
    ["`select ${names.map(loud).join(', ')} from t`", ["names.map(loud).join(', ')"]],
    ["'select * from ' + name", ['name']],
    ['`listen ${name}`', ['name']],
  ])(
    '%s',
    async (expression, found) => {
      expect(await findings(expression)).toEqual(found);
    },
    60_000,
  );
});

describe('not found', () => {
  it.each([
    '`select * from ${NAME} where n = ${count} order by n ${way}`',
    '`select ${literal(name)}, ${flag ? literal(name) : count} from ${quoted(name)}`',
    "`select ${names.map(quoted).join(', ')}, ${names.map((each) => `${literal(each)}::text`).join(', ')}`",
    "'select * from ' + quoted(name)",
    '`selected: ${name}`',
    '`no standby of ${name} yet`',
  ])(
    '%s',
    async (expression) => {
      expect(await findings(expression)).toEqual([]);
    },
    60_000,
  );
});
