/** The errors that a client reads from us and not from its engine. */
import { encode, errorFields } from '../../protocol/index.js';
import { type Lsn, MAX_PROPOSAL_BYTES, TOO_LARGE_HINT } from '../../multiwriter/protocol/index.js';
import type { RefusedCommit } from '../../multiwriter/writer/index.js';

export const errorOf = ({ sqlstate, message, detail, hint }: RefusedCommit): Buffer =>
  encode.errorResponse({
    severity: 'ERROR',
    sqlstate,
    message,
    ...(detail === undefined ? {} : { detail }),
    ...(hint === undefined ? {} : { hint }),
  });

export const overtakenBy = (lsn: Lsn): RefusedCommit => ({
  sqlstate: '40001',
  message:
    'could not serialize access: another writer has committed a change of a row that this transaction holds',
  detail: `It had to make way for the transaction with LSN ${lsn}.`,
  hint: 'Retry the transaction after a short random wait.',
});

export const ENGINE_GONE: RefusedCommit = {
  sqlstate: '57P01',
  message: 'the engine has ended the connection',
};

/** Nobody reads it. */
export const GONE: RefusedCommit = { sqlstate: '57P01', message: 'the session is over' };

export const UNKNOWN_BASE: RefusedCommit = {
  sqlstate: '40001',
  message: 'could not serialize access: it is not known what this transaction has seen',
  hint: 'Retry the transaction.',
};

export const HIDDEN_WRITE: RefusedCommit = {
  sqlstate: '40001',
  message: 'the statement has written, and looked as if it only read',
  hint: 'Retry it: from now on this session certifies whatever it runs.',
};

export const FORGED: RefusedCommit = {
  sqlstate: '42501',
  message: 'a notice that was raised at the COMMIT has an SQLSTATE that is for dbproxy',
};

export const DEFERS_AGAIN: RefusedCommit = {
  sqlstate: '0A000',
  message: 'a deferred trigger has deferred what follows from it, which several writers cannot certify',
  hint: 'Leave SET CONSTRAINTS ... DEFERRED out of functions of deferred triggers.',
};

export const DOMAIN_HELD: RefusedCommit = {
  sqlstate: '0A000',
  message: 'a cursor WITH HOLD of a transaction that has written has a column whose type is a domain',
  hint: 'Cast it to the type that the domain is made of, or declare the cursor in a transaction that does not write.',
};

export const TOO_LARGE: RefusedCommit = {
  sqlstate: '54000',
  message: `the transaction is too large for several writers: at most ${MAX_PROPOSAL_BYTES} bytes`,
  hint: TOO_LARGE_HINT,
};

/** PostgreSQL refuses that for a table with changes that have not fired, and capture is deferred. */
export const pendingEvents = (message: string): RefusedCommit => ({
  sqlstate: '55006',
  message,
  hint: 'With several writers a function cannot truncate a table that its transaction has changed. Send TRUNCATE as a statement of its own, or DELETE.',
});

/** COMMIT and ROLLBACK in a procedure: what may write is in a transaction of ours. */
export const endsTransaction = (message: string): RefusedCommit => ({
  sqlstate: '2D000',
  message,
  hint: 'With several writers a procedure or a DO block cannot end transactions. Do it from the client: one statement for each transaction.',
});

/**
 * For a transaction that is committed, whose COMMIT has failed in its session; `error`: what the engine says of that. A warning, as
 * PostgreSQL gives one where a commit is only not replicated yet: what is told an error would be tried again.
 */
export const committedAllTheSame = (error: Buffer): Buffer =>
  encode.noticeResponse({
    severity: 'WARNING',
    sqlstate: '01000',
    message: `the transaction is committed, but its COMMIT failed in this session: ${errorFields(error.subarray(5)).get('M') ?? ''}`,
    detail:
      'What it had written is on all writers. What ran only at the COMMIT is nowhere, as a cursor WITH HOLD that a function has declared. To the session it was a ROLLBACK: of its settings, temporary tables, LISTEN and NOTIFY nothing is left.',
    hint: 'Do not retry the transaction.',
  });
