/** Rows of several entries in one transaction, with a call for each table; or nothing of them, where it would matter which entry it was. */
import type { Lsn } from '../protocol/index.js';
import type { ApplyingSession } from './applying-session.js';
import { type OnBlocked, watchBlockers } from './blockers.js';
import { sendTogether, type Step } from './pipeline.js';
import type { RowChange } from './write-set.js';

/** False: nothing of it was kept. */
export async function applyTogether(
  session: ApplyingSession,
  lsns: readonly Lsn[],
  rows: readonly RowChange[],
  onBlocked: OnBlocked,
): Promise<boolean> {
  const [only, ...others] = lsns;
  const stop = watchBlockers(session.ask, session.pid, async (blockers) => {
    // Which of several it is that waits is not known, and nobody is to wait for what the others have locked: they are given up.
    if (others.length > 0) await session.ask('select pg_cancel_backend($1)', [session.pid]);
    else if (only !== undefined) onBlocked(only, blockers);
  });
  try {
    const steps = [session.step('mark', 'select dbproxy.mark_all($1)', [`{${lsns.join()}}`])];
    // Here no foreign key is checked and no trigger fires: rows of one table are nothing to another one.
    for (const [table, changes] of byTable(rows)) steps.push(await tableStep(session, table, changes));
    await sendTogether(session.connection, steps);
    return true;
  } catch {
    return false;
  } finally {
    await stop();
  }
}

async function tableStep(
  session: ApplyingSession,
  table: string,
  changes: readonly RowChange[],
): Promise<Step> {
  const { oid } = await session.table(table);
  return session.step(`apply_${oid}`, `select dbproxy.apply_${oid}($1, $2, $3, $4)`, [
    table,
    arrayOf(changes.map(({ kind }) => kind)),
    arrayOf(changes.map((change) => (change.kind === 'insert' ? null : JSON.stringify(change.key)))),
    arrayOf(changes.map((change) => (change.kind === 'delete' ? null : change.row))),
  ]);
}

/** In the order in which they were made. */
function byTable(rows: readonly RowChange[]): Map<string, RowChange[]> {
  const tables = new Map<string, RowChange[]>();
  for (const row of rows) {
    const changes = tables.get(row.table);
    if (changes) changes.push(row);
    else tables.set(row.table, [row]);
  }
  return tables;
}

/** The text of an array of texts, or of a type that is written as text. */
const arrayOf = (values: readonly (string | null)[]): string =>
  `{${values.map((value) => (value === null ? 'NULL' : `"${value.replace(/[\\"]/g, '\\$&')}"`)).join()}}`;
