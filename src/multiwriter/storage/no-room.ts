/** A full disk, or a full quota: the one failure of writing that gets better by itself. */
const NO_ROOM = new Set(['ENOSPC', 'EDQUOT']);

export const isNoRoom = (error: unknown): boolean => NO_ROOM.has((error as NodeJS.ErrnoException).code ?? '');
