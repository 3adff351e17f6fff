/** The command lines of the documentation: every line of every `sh` block, and where it stands. */
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface ShellLine {
  readonly page: string;
  readonly text: string;
  /** ```sh needs=project: what has to be there that a test of all pages does not have. */
  readonly needs: string | undefined;
}

const PAGES_AT_ROOT = ['README.md', 'CONTRIBUTING.md', 'playground/README.md'];

/** Each text once, where it stands first. */
export async function distinctLines(): Promise<ShellLine[]> {
  const docs = await readdir(`${ROOT}/docs`, { recursive: true });
  const pages = [
    ...PAGES_AT_ROOT,
    ...docs.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
  ];
  const lines = (await Promise.all(pages.sort().reverse().map(linesOf))).flat();
  return [...new Map(lines.map((line) => [line.text, line])).values()];
}

async function linesOf(page: string): Promise<ShellLine[]> {
  const text = await readFile(`${ROOT}/${page}`, 'utf8');
  return [...text.matchAll(/^```sh(?: needs=(\w+))?\n([^]*?)^```$/gm)].flatMap(([, needs, block = '']) =>
    block
      .replaceAll('\\\n', ' ')
      .split('\n')
      .map((line) => line.replace(/\s+# .*$/, '').trim())
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => ({ page, text: line, needs })),
  );
}
