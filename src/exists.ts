import { access } from 'node:fs/promises';

/** Is there a file or directory of that name, as far as this user can see? */
export const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
