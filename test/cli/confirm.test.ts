/** The question before data is lost, on a real terminal. No instance runs here. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BIN, Cli } from '../support/cli.js';
import { hasTmux, Terminal } from '../support/terminal.js';

describe.skipIf(!hasTmux)('down --purge on a terminal', () => {
  let cli: Cli;
  let terminal: Terminal;
  beforeAll(async () => {
    cli = await Cli.open();
    const env = { DBPROXY_HOME: join(cli.home, 'h'), HOME: cli.home };
    terminal = await Terminal.open({ columns: 120, rows: 30, env });
  });
  afterAll(async () => {
    await terminal.close();
    await cli.close();
  });

  it('asks, and Ctrl-C there stops nothing and says so', async () => {
    await terminal.type(`${process.execPath} ${BIN} down --purge`);
    await terminal.shows('It cannot be brought back. [y/N]');
    await terminal.keys('C-c');
    const screen = await terminal.shows('interrupted by SIGINT  DBP_INTERRUPTED');
    expect(screen).toMatch(/^SIGINT: nothing was stopped$/m);
  });
});
