/** Lint rules: TypeScript's, and the walls between the folders of src/ (docs/architecture.md). */
import { fileURLToPath } from 'node:url';
import boundaries from 'eslint-plugin-boundaries';
import tseslint from 'typescript-eslint';
import { sqlQuoting } from './scripts/sql-quoting.js';

/** Who may import whom; `type:x` allows `import type` only. A folder may always import itself. Nobody imports commands. */
const walls = {
  errors: [],
  protocol: [],
  rpc: ['errors'],
  'session-state': ['protocol', 'errors'],
  proxy: ['protocol', 'session-state', 'rpc', 'errors', 'multiwriter'],
  engine: ['errors'],
  switchover: ['engine', 'rpc', 'errors', 'type:proxy'],
  control: ['switchover', 'engine', 'rpc', 'errors', 'type:proxy', 'multiwriter'],
  tui: ['type:control'],
  multiwriter: ['rpc', 'errors'],
  workload: ['errors', 'protocol'],
  conflict: ['control', 'errors'],
  scenario: ['workload', 'control', 'conflict', 'errors', 'type:engine', 'type:rpc'],
  playground: ['control', 'errors', 'engine'],
  report: ['type:control', 'type:scenario', 'type:workload'],
  cli: [
    'errors',
    'control',
    'engine',
    'tui',
    'type:rpc',
    'type:proxy',
    'type:scenario',
    'type:workload',
    'type:conflict',
  ],
  commands: [
    'cli',
    'control',
    'conflict',
    'scenario',
    'workload',
    'report',
    'errors',
    'engine',
    'type:proxy',
  ],
};

const toPolicy = (from, target) => {
  const typeOnly = target.startsWith('type:');
  const to = { element: { type: typeOnly ? target.slice('type:'.length) : target } };
  return {
    from: { element: { type: from } },
    allow: typeOnly ? { to, dependency: { kind: 'type' } } : { to },
  };
};

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/', 'bench/results/'] },
  {
    files: ['src/**/*.{ts,tsx}', 'test/**/*.ts', 'bench/**/*.ts', '*.config.ts'],
    extends: [tseslint.configs.strict, tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' },
      ],
      // Numbers and booleans read well in a template; objects do not.
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/require-await': 'off',
      'no-console': 'error',
      eqeqeq: 'error',
    },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: { '@typescript-eslint/no-non-null-assertion': 'off', 'no-console': 'off' },
  },
  {
    files: ['src/**/*.{ts,tsx}'],
    plugins: { boundaries, dbproxy: { rules: { 'sql-quoting': sqlQuoting } } },
    settings: {
      'import/resolver': { [fileURLToPath(new URL('scripts/resolve-ts.cjs', import.meta.url))]: {} },
      'boundaries/include': ['src/**/*'],
      'boundaries/elements': Object.keys(walls).map((name) => ({ type: name, pattern: `src/${name}` })),
      // Outside of every wall: whoever likes may state the version, suggest a name, stop where a test wants to kill it, end once it is loaded,
      // write a quantity as people read it, or a line in its log, write straight to a socket, sum up times, name the sizes and the
      // steps of a switchover, find or make a directory, or say the settings of a connection of ours.
      'boundaries/files': [
        {
          category: 'common',
          pattern: [
            'src/version.ts',
            'src/exists.ts',
            'src/fault-point.ts',
            'src/load-only.ts',
            'src/log-line.ts',
            'src/make-parents.ts',
            'src/own-settings.ts',
            'src/suggest.ts',
            'src/cli/format.ts',
            'src/cli/move-words.ts',
            'src/proxy/raw-handle.ts',
            'src/proxy/hold-times.ts',
            'src/switchover/steps.ts',
            'src/engine/size-names.ts',
          ],
        },
        // What programs import: only hands on what others have.
        { category: 'door', pattern: ['src/index.ts'] },
      ],
    },
    rules: {
      'dbproxy/sql-quoting': [
        'error',
        {
          quoting: [
            ...['literal', 'quoted', 'arrayLiteral'],
            // Make their text of what they quote themselves, or of hexadecimal digits.
            ...['numbered', 'obstacles', 'proof'],
          ],
          // Of SQL that is made of SQL (session-state, multiwriter/engine/sql).
          fragments: [
            ...[
              'all',
              'asOwner',
              'comment',
              'grants',
              'grantsOr',
              'isNoted',
              'list',
              'named',
              'note',
              'owner',
            ],
            ...['relationsWith', 'rowsOf', 'unlock', 'unnote'],
          ],
        },
      ],
      'boundaries/no-unknown-files': 'error',
      'boundaries/dependencies': [
        'error',
        {
          default: 'disallow',
          message:
            'a wall: src/{{from.element.type}} must not import src/{{to.element.type}} (docs/architecture.md)',
          policies: [
            ...Object.entries(walls).flatMap(([from, targets]) =>
              targets.map((target) => toPolicy(from, target)),
            ),
            { allow: { to: { file: { categories: 'common' } } } },
            { from: { file: { categories: 'door' } }, allow: { to: { element: { type: 'playground' } } } },
            { from: { file: { categories: 'door' } }, allow: { to: { element: { type: 'errors' } } } },
            {
              from: { file: { categories: 'door' } },
              allow: {
                to: { element: { type: ['control', 'engine'] } },
                dependency: { kind: 'type' },
              },
            },
            { allow: { to: { module: { origin: ['external', 'core'] } } } },
          ],
        },
      ],
    },
  },
);
