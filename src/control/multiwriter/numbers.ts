/**
 * The numbers that a writer's sequences have given out are told to nobody: what another writer's engine knows are its own. Before the
 * engine that gave them out goes, its successor is put beyond them.
 */
import { withAdmin } from '../../engine/index.js';
import type { EngineRecord } from '../../engine/types.js';
import { DbproxyError } from '../../errors/index.js';
import type { Instance } from '../instance.js';

interface Position {
  readonly sequence: string;
  /** A bigint, as text. */
  readonly value: string;
}

const GIVEN_OUT = `select dbproxy.name_of(sequence) as sequence, pg_sequence_last_value(sequence)::text as value
  from dbproxy.sequences where pg_sequence_last_value(sequence) is not null`;

/** A position is never taken back: what the copied engine brought along may be beyond it. */
const GO_BEYOND = `select dbproxy.setval(seqrelid, $2::bigint, true) from pg_sequence
  where seqrelid = to_regclass($1)
    and coalesce(sign($2::bigint - pg_sequence_last_value(seqrelid)) = sign(seqincrement), true)`;

/** `former`: is started for it where it does not run. Null: done; else why it cannot be told what it gave out. */
export async function goOnBehind(
  { provider }: Instance,
  former: EngineRecord,
  successor: EngineRecord,
): Promise<string | null> {
  let positions: readonly Position[];
  try {
    const { state } = await provider.inspect(former);
    const running = state === 'stopped' ? await provider.start(former) : former;
    positions = await withAdmin(running, (query) => query<Position>(GIVEN_OUT));
  } catch (error) {
    return DbproxyError.from(error).message;
  }
  await withAdmin(successor, async (query) => {
    for (const { sequence, value } of positions) await query(GO_BEYOND, [sequence, value]);
  });
  return null;
}
