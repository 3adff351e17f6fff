/** A real Chromium, where one is installed (Debian: `apt-get install chromium`); tests that need it are skipped otherwise. */
import { accessSync, constants } from 'node:fs';
import { userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { chromium, type Browser } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

function find(): string | undefined {
  const directories = (process.env.PATH ?? '').split(delimiter);
  return directories
    .flatMap((directory) => NAMES.map((name) => join(directory, name)))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

export const CHROMIUM = find();

export function openBrowser(): Promise<Browser> {
  if (CHROMIUM === undefined) throw new Error('there is no Chromium here');
  // Its sandbox does not work for root.
  return chromium.launch({ executablePath: CHROMIUM, chromiumSandbox: userInfo().uid !== 0 });
}
