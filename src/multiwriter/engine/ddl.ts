/** What a command that changes definitions means for several writers, by its command tag (as in CommandComplete). */

/**
 * - `barrier`: runs in the transaction; the write-set names it, and `apply` runs it elsewhere at the same position of the log.
 * - `by-tag`: belongs to the whole cluster, where no event trigger sees it (roles, mainly). The engine does not tell; whoever
 *   sees the command has to bring it to the other writers.
 * - `local`: concerns this engine's storage only.
 * - `refused`: cannot run in a transaction, so not at one position of the log.
 * - `none`: no change of definitions.
 */
export type DdlClass = 'barrier' | 'by-tag' | 'local' | 'refused' | 'none';

const LOCAL = new Set(['VACUUM', 'ANALYZE', 'CHECKPOINT', 'CLUSTER', 'LOAD', 'ALTER SYSTEM']);
const REFUSED =
  /^(CREATE|DROP|ALTER) (DATABASE|TABLESPACE|SUBSCRIPTION|PUBLICATION)$|^(PREPARE TRANSACTION|COMMIT PREPARED|ROLLBACK PREPARED)$/;
const BY_TAG = /^(CREATE|ALTER|DROP) (ROLE|USER MAPPING)$|^(GRANT|REVOKE) ROLE$|^REASSIGN OWNED$/;
const BARRIER =
  /^(CREATE|ALTER|DROP|COMMENT|SECURITY LABEL|GRANT|REVOKE|IMPORT FOREIGN SCHEMA|REFRESH MATERIALIZED VIEW|SELECT INTO)( |$)/;

export function ddlClass(tag: string): DdlClass {
  if (LOCAL.has(tag) || tag === 'REINDEX') return 'local';
  if (REFUSED.test(tag)) return 'refused';
  if (BY_TAG.test(tag)) return 'by-tag';
  return BARRIER.test(tag) ? 'barrier' : 'none';
}
