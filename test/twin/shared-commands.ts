/** What other sessions can tell: channels, and advisory locks. */
import fc from 'fast-check';
import type { Command } from './command.js';

const sql = (texts: readonly string[]): fc.Arbitrary<Command> =>
  fc.constantFrom(...texts).map((text) => ({ sql: text }));

export const channels: fc.Arbitrary<Command> = fc.oneof(
  sql(['listen news', 'listen "New S"', 'begin; listen gone; rollback', 'begin; listen kept; commit']),
  sql(['unlisten news', 'unlisten *', 'begin; unlisten news; rollback']),
  sql(['notify news', `notify "New S", 'with é'`, `begin; notify news, 'unsaid'; rollback`, 'notify kept']),
);

export const advisoryLocks: fc.Arbitrary<Command> = fc
  .tuple(
    fc.constantFrom('lock', 'lock', 'try_advisory_lock', 'unlock'),
    fc.constantFrom('', '_shared'),
    fc.constantFrom('1', '-1', '1, 2', '9000000000'),
  )
  .map(([verb, shared, key]) => ({
    sql: `select pg_${verb === 'try_advisory_lock' ? verb : `advisory_${verb}`}${shared}(${key})`,
  }));
