/**
 * An entry that is started with `--load-only` ends as soon as all of its modules are loaded. So `patch --self` learns whether a
 * build is whole before it ends anything for its sake (control/assert-build-runs.ts).
 */
export const LOAD_ONLY = '--load-only';

export function endIfLoadOnly(): void {
  if (process.argv.includes(LOAD_ONLY)) process.exit(0);
}
