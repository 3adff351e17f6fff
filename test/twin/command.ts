/** What a session is told, as data: it can be shrunk, sent to two sessions, and printed as a script. */
import { encode } from '../../src/protocol/index.js';

export type Command =
  | { readonly sql: string }
  | { readonly parse: string; readonly text: string }
  | { readonly bind: string; readonly values: readonly (string | null)[] }
  | { readonly close: string };

/** `warm`: the state is brought to another backend, where it waits; `move`: the session goes on there. */
export type Step = Command | 'warm' | 'move';

/** Ends with the one ReadyForQuery of the command. */
export const encoded = (command: Command): Buffer => {
  if ('sql' in command) return encode.query(command.sql);
  if ('parse' in command) return Buffer.concat([encode.parse(command.parse, command.text), encode.sync()]);
  if ('close' in command) return Buffer.concat([encode.closeStatement(command.close), encode.sync()]);
  return Buffer.concat([encode.bind('', command.bind, command.values), encode.execute(), encode.sync()]);
};

/** As psql reads it: the extended protocol is psql's \parse, \bind_named and \close_prepared. */
export const scriptOf = (step: Step): string => {
  if (step === 'warm') return '-- ===== state is brought to the next backend, the session goes on =====';
  if (step === 'move') return '-- ===== the session moves =====';
  if ('sql' in step) return `${step.sql};`;
  if ('parse' in step) return `${step.text} \\parse '${step.parse}'`;
  if ('close' in step) return `\\close_prepared '${step.close}'`;
  const values = step.values.map((value) => (value === null ? 'NULL' : `'${value.replaceAll("'", "''")}'`));
  return `\\bind_named '${step.bind}' ${values.join(' ')} \\g`;
};
