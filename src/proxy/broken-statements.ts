/**
 * Prepared statements that no longer parse (their table is gone, say) are carried through a move as broken: they do not exist
 * on the new engine, and their use fails. The client reads the error it would have read before the move.
 */
import type { ReplyError } from '../session-state/index.js';
import type { ErrorRewrite } from './rewrite-errors.js';

/** invalid_sql_statement_name (manual, appendix A): "prepared statement "x" does not exist". */
const NO_SUCH_STATEMENT = '26000';

/** Null when nothing is broken, so that the data path stays the plain one. */
export const nameBroken = (broken: ReadonlyMap<string, ReplyError>): ErrorRewrite | null => {
  if (broken.size === 0) return null;
  return (fields) => {
    if (fields.get('C') !== NO_SUCH_STATEMENT) return null;
    for (const [name, { sqlstate, message }] of broken) {
      if (fields.get('M')?.includes(`"${name}"`)) return { severity: 'ERROR', sqlstate, message };
    }
    return null;
  };
};
