/** What is particular to an embedded engine's configuration: its Unix socket, and who may use it. */
import { join } from 'node:path';
import { serverArguments } from '../../configuration.js';

/** Who may open the socket is decided by its 0700 directory; there is no other way in. */
export const HBA = `# Written by dbproxy. The only way in is the Unix socket, in a directory that only dbproxy can open.
local all all trust
local replication all trust
`;

export interface Identity {
  readonly id: string;
  readonly socketDirectory: string;
}

/** The command line of `postgres`. */
export function commandLine(dataDirectory: string, { id, socketDirectory }: Identity): string[] {
  const own = {
    listen_addresses: '',
    unix_socket_directories: quoteListItem(socketDirectory),
    unix_socket_permissions: '0700',
    hba_file: join(dataDirectory, 'pg_hba.conf'),
  };
  return ['-D', dataDirectory, ...serverArguments(id, own)];
}

/** One item of a list setting: quoted like an identifier, since a comma in the path would end it. */
function quoteListItem(item: string): string {
  return `"${item.replaceAll('"', '""')}"`;
}
