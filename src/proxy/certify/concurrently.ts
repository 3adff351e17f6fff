/**
 * CREATE INDEX CONCURRENTLY and its like: PostgreSQL refuses them in a transaction block, and with several writers every definition is in
 * one. Outside of a client's block they are carried out without that word: each writer builds the index as a plain CREATE INDEX does,
 * while writes to the table wait.
 */
import { encode } from '../../protocol/index.js';
import { stripLeadingComments } from '../../session-state/index.js';
import { isDdl, type Part } from './statements.js';

const OF_INDEX = /^((?:create\s+(?:unique\s+)?|drop\s+)index\s+)concurrently\b/i;
const DETACH = /^(alter\s+table\b.*\bdetach\s+partition\b.*\s)concurrently(\s*;?\s*)$/is;

/** The text without it; null: it says no such thing, or is more than one statement. */
export const withoutConcurrently = (sql: string, parts: readonly Part[]): string | null => {
  const [only] = parts;
  if (parts.length !== 1 || !only || !isDdl(only.statement)) return null;
  const text = stripLeadingComments(sql);
  const plain = text.replace(OF_INDEX, '$1').replace(DETACH, '$1$2');
  return plain === text ? null : plain;
};

export const NOT_CONCURRENTLY = encode.noticeResponse({
  severity: 'NOTICE',
  sqlstate: '00000',
  message: 'several writers carry this out without CONCURRENTLY: until it is done, writes to the table wait',
});
