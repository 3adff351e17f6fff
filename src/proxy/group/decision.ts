/**
 * What several proxy processes have decided of the switch that all of them are prepared for: to go over, or to stay. Each of
 * them, and whoever coordinates them, may die or be silent at any moment; so nobody announces the decision, it is a name in the
 * file system that only the first one can make (symlink(2) fails when it is there), and the others read.
 *
 *   nobody has decided ──▶ commit     the first to be told so, when all are prepared
 *                    └───▶ release    the first whose hold runs out, or that is told so
 */
import { readlinkSync, symlinkSync } from 'node:fs';

export type Decision = 'commit' | 'release';

/** Decides, unless it has been decided: returns what counts. `path`: of this one decision. */
export const decide = (path: string, wish: Decision): Decision => {
  try {
    symlinkSync(wish, path);
    return wish;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return readlinkSync(path) === 'commit' ? 'commit' : 'release';
  }
};
