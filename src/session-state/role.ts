/**
 * Rows 4 and 5: SET ROLE and SET SESSION AUTHORIZATION. Replayed last, in the session of the real login user, so that
 * everything before runs with that user's rights and RESET gives back what it should.
 */
import type { Rows } from './channel.js';
import type { StateKindModule } from './kind.js';
import { setConfig } from './settings.js';

/** A role that is gone (22023, 42704) is no setting that could be left out: others' rights would hold in its place. */
const NOTHING_TO_LOSE: readonly string[] = [];

export interface Role {
  readonly sessionUser: string;
  /** `none`, or a role's name. */
  readonly role: string;
}

export const role: StateKindModule<Role> = {
  none: { sessionUser: '', role: 'none' },

  *read() {
    // The setting keeps the name of a role that was renamed since; current_user does not. Both raise an error for a dropped one.
    const rows: Rows = yield {
      select: [
        'session_user',
        `case pg_catalog.current_setting('role') when 'none' then 'none' else current_user::pg_catalog.text end`,
      ],
    };
    const [sessionUser, current] = rows[0] ?? [];
    return { sessionUser: sessionUser ?? '', role: current ?? 'none' };
  },

  // A role that is set can be renamed or dropped.
  othersCanChange: (state) => state.role !== 'none',

  summarize: (state) => (state.role === 'none' ? null : { count: 1, detail: `role ${state.role}` }),

  // SET SESSION AUTHORIZATION resets the role, so the role is set whenever either differs.
  replay(wanted, there) {
    const other = wanted.sessionUser !== there.sessionUser;
    return [
      ...(other ? [setConfig('session_authorization', wanted.sessionUser, NOTHING_TO_LOSE)] : []),
      ...(other || wanted.role !== there.role ? [setConfig('role', wanted.role, NOTHING_TO_LOSE)] : []),
    ];
  },
};
