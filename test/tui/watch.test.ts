/** `dbproxy watch` in a real terminal (tmux), on a real instance: what is seen, what keys do, and that the terminal is given back. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { UpResult } from '../../src/control/api.js';
import { LiveHome, pausing, pidOf, until } from '../control/live.js';
import { BIN } from '../support/cli.js';
import { Pause } from '../support/pause.js';
import { hasTmux, Terminal } from '../support/terminal.js';

const WATCH = `node ${BIN} watch --name w`;
const suite = hasTmux ? describe : describe.skip;

suite('watch (skipped without tmux)', { timeout: 180_000 }, () => {
  let home: LiveHome;
  let up: UpResult;
  let terminal: Terminal;
  const clients: pg.Client[] = [];

  beforeAll(async () => {
    home = await LiveHome.open();
    up = await home.up('w');
  }, 120_000);
  afterAll(() => home.close(), 60_000);

  const open = async (columns: number, rows: number, env: Record<string, string> = {}): Promise<void> => {
    terminal = await Terminal.open({
      columns,
      rows,
      env: { DBPROXY_HOME: home.home, LANG: 'C.UTF-8', ...env },
    });
  };
  const watch = async (columns: number, rows: number, env: Record<string, string> = {}): Promise<void> => {
    await open(columns, rows, env);
    await terminal.type(WATCH);
    await terminal.shows(/e\d+ +primary/);
  };
  const client = async (name: string): Promise<pg.Client> => {
    const opened = new pg.Client({ connectionString: up.url, application_name: name });
    opened.on('error', () => undefined);
    await opened.connect();
    clients.push(opened);
    return opened;
  };

  beforeEach(() => {
    clients.length = 0;
  });
  afterEach(async () => {
    await Promise.all(clients.map((each) => each.end()));
    await terminal.close();
  });

  it('shows engines and sessions as they live, and none of our own', async () => {
    await watch(120, 40);
    const shop = await client('shop');
    await terminal.shows(/postgres@postgres +shop +e\d+ +idle/);
    await shop.query('begin');
    await terminal.shows(/shop +e\d+ +in tx/);
    const asleep = shop.query('select pg_sleep(60)').catch(() => undefined);
    await terminal.shows(/shop +e\d+ +active .*select pg_sleep\(60\)/);
    expect(await terminal.shows('sessions 1')).not.toMatch(/postgres@postgres +dbproxy /);
    await client('second');
    await terminal.shows('sessions 2');
    const killer = await client('killer');
    await killer.query(
      `select pg_cancel_backend(pid) from pg_stat_activity where query like 'select pg_sleep%'`,
    );
    await asleep;
    await terminal.shows(/shop +e\d+ +failed/);
  });

  it('fits every size, and follows a resize', async () => {
    await watch(100, 30);
    for (const [columns, rows] of [
      [60, 20],
      [80, 24],
      [120, 40],
      [200, 60],
    ] as const) {
      await terminal.resize(columns, rows);
      // The last line but one, at this size: the screen is drawn for it.
      const screen = await terminal.until(`fits ${columns}×${rows}`, (text) =>
        (text.split('\n')[rows - 2] ?? '').startsWith('$ dbproxy status --name w'),
      );
      const lines = screen.split('\n');
      expect(lines[0]).toMatch(/^dbproxy w ● running/);
      expect(lines[rows - 1] ?? '').toBe('');
      expect(screen).toMatch(/^events/m);
      expect(lines[rows - 3]).toMatch(/^q quit {2}s scale/);
    }
  });

  it('is too small at 20×5, says so, and is there again when there is room', async () => {
    await watch(80, 24);
    await terminal.resize(20, 5);
    await terminal.shows('dbproxy watch needs');
    await terminal.resize(80, 24);
    await terminal.shows(/^sessions 0/m);
    await terminal.keys('q');
    await terminal.shows(/^ready>$/m);
  });

  it('a scale by keys: its phases, its sessions held and moved, its end', async () => {
    const shop = await client('shop');
    await shop.query(`set work_mem = '17MB'; create temp table cart as select 1 as item`);
    // Stops where everybody is held, until the file is there. It is another supervisor: the screen is to find it.
    await watch(120, 40);
    const pause = new Pause('promote', home.home);
    const supervisor = await pausing('w', pause);
    supervisor.close();
    await terminal.shows(/supervisor.started/);
    await terminal.keys('S');
    await terminal.shows('[medium]');
    await terminal.keys('l');
    await terminal.shows('$ dbproxy scale --to large --name w');
    await terminal.keys('Enter');
    try {
      await terminal.shows('▸promote', 60_000);
      const held = await terminal.shows(/shop +e1 +held/);
      expect(held).toMatch(/1 held/);
      expect(held).toMatch(/provision [\d.]+ m?s.*▸promote/);
    } finally {
      await pause.goOn();
    }
    await terminal.shows(/shop +e2 +idle +✔/);
    const end = await terminal.shows('✔ completed', 60_000);
    expect(end).toMatch(/e2 +primary +large/);
    expect(end).toMatch(/1 moved {2}p50/);
    await terminal.shows(/✔ dbproxy scale --to large --name w: 1 sessions, held [\d.]+ ms/);
    expect((await shop.query<{ work_mem: string }>('show work_mem')).rows[0]?.work_mem).toBe('17MB');
  });

  it('Enter shows all that a session holds', async () => {
    const shop = await client('closely');
    await shop.query(`set work_mem = '18MB'`);
    await shop.query('create temp table cart as select generate_series(1, 1000) as item');
    await shop.query('prepare by_id as select $1::int');
    await shop.query('listen orders');
    await shop.query('select pg_advisory_lock(77)');
    await shop.query(`begin; declare c cursor with hold for select generate_series(1, 9); commit`);
    await watch(120, 50);
    await terminal.shows(/closely/);
    await terminal.keys('Enter');
    const detail = await terminal.shows('can move');
    for (const held of [
      /work_mem +18432 kB/,
      /by_id +.*select \$1::int/,
      /cart +table +\d+ kB/,
      /^ {2}c +no scroll/m,
      /^ {2}77 +exclusive/m,
      /^ {2}orders/m,
      /ExclusiveLock +advisory/,
    ])
      expect(detail).toMatch(held);
    expect(detail).toMatch(/^\$ dbproxy sessions \d+ --name w/m);
    await terminal.keys('Escape');
    await terminal.shows(/^sessions 1/m);
  });

  it('/ filters; y copies the command', async () => {
    await client('apples');
    await client('pears');
    await watch(100, 30);
    await terminal.shows('sessions 2');
    await terminal.keys('/', 'p', 'e', 'a', 'r');
    await terminal.shows('1 of 2');
    await terminal.showsNot('apples');
    await terminal.keys('Enter', 'y');
    await terminal.shows('copied: dbproxy sessions --name w');
    await until(
      'it is in the clipboard',
      async () => (await terminal.copied()) === 'dbproxy sessions --name w',
    );
    await terminal.keys('Escape');
    await terminal.shows('apples');
  });

  it('space stands still until it is pressed again', async () => {
    await watch(100, 30);
    await terminal.keys('Space');
    await terminal.shows('paused');
    await client('unseen');
    expect(await terminal.shows('paused')).toContain('sessions 0');
    await terminal.keys('Space');
    await terminal.shows('unseen');
  });

  it('w makes load, and ends it', async () => {
    await watch(120, 40);
    await terminal.keys('w');
    await terminal.keys('Down', 'Down', 'Down', 'Right');
    await terminal.shows('$ dbproxy workload run tpcb-like --clients 8 --for 60s --init --name w');
    await terminal.keys('Enter');
    await terminal.shows('sessions 8', 60_000);
    await terminal.shows(/e\d+ +primary .* [1-9][\d,]* +[▁-█ ]+$/m);
    await terminal.keys('w');
    await terminal.shows(/workload run .* tps, p99/, 60_000);
    await terminal.shows('sessions 0');
  });

  it('f kills the supervisor; the screen goes on with the next one', async () => {
    await watch(100, 30);
    const before = await pidOf('w');
    await terminal.keys('f', 's');
    await terminal.shows(`$ kill -9 ${before}`);
    await terminal.keys('Enter');
    await until('another supervisor runs', async () => ![before, 0].includes(await pidOf('w')));
    await client('afterwards');
    await terminal.shows('afterwards');
  });

  describe('the terminal is given back', () => {
    const isGivenBack = async (): Promise<void> => {
      await until('its own screen is there', async () => !(await terminal.state()).alternate);
      expect(await terminal.state()).toEqual({ alternate: false, cursor: true });
      // In raw mode the shell would see no line, and nothing of it would be shown.
      await terminal.type('echo back-$((40 + 2)) $?');
      await terminal.shows('back-42');
      expect(await terminal.screen()).toContain('echo before');
    };
    const begin = async (env: Record<string, string> = {}): Promise<number> => {
      await open(100, 30, env);
      await terminal.type('echo before');
      await terminal.type(`${WATCH}; echo "code $?"`);
      await terminal.shows(/e\d+ +primary/);
      expect(await terminal.state()).toEqual({ alternate: true, cursor: false });
      return terminal.programPid('watch');
    };

    it('by q', async () => {
      await begin();
      await terminal.keys('q');
      await terminal.shows('code 0');
      await isGivenBack();
    });

    it('by Ctrl-C', async () => {
      await begin();
      await terminal.keys('C-c');
      await terminal.shows('code 0');
      await isGivenBack();
    });

    it.each([
      ['SIGTERM', 143],
      ['SIGINT', 130],
      ['SIGHUP', 143],
    ] as const)('by %s', async (signal, code) => {
      process.kill(await begin(), signal);
      await terminal.shows(`code ${code}`);
      await isGivenBack();
    });

    it('by a crash, whose error stays to be read', async () => {
      const crash = join(home.home, 'crash.cjs');
      await writeFile(crash, `process.on('SIGUSR2', () => { throw new Error('it crashed'); });`);
      process.kill(await begin({ NODE_OPTIONS: `--require ${crash}` }), 'SIGUSR2');
      await terminal.shows('it crashed');
      await terminal.shows(/code [1-9]/);
      await isGivenBack();
    });

    it('by Ctrl-Z, and taken again by fg', async () => {
      await begin();
      await terminal.keys('C-z');
      await terminal.shows('Stopped');
      await isGivenBack();
      await terminal.type('fg');
      await terminal.shows(/e\d+ +primary/);
      expect(await terminal.state()).toEqual({ alternate: true, cursor: false });
      await client('still');
      await terminal.shows('still');
      await terminal.keys('q');
      await isGivenBack();
    });
  });

  it('NO_COLOR: no colours, all words', async () => {
    await client('plainly');
    await watch(100, 30, { NO_COLOR: '1' });
    await terminal.shows('plainly');
    const screen = await terminal.colored();
    expect(screen).toBe(stripVTControlCharacters(screen));
  });

  it('colours, where there are some', async () => {
    await watch(100, 30);
    expect(await terminal.colored()).toContain('\u001b[');
  });

  it.each([`${WATCH} | cat`, `TERM=dumb ${WATCH}`, `CI=1 ${WATCH}`])('%s: one plain look', async (line) => {
    await open(150, 30);
    await terminal.type(`${line}; echo "code $?"`);
    const screen = await terminal.shows('code 0');
    expect(screen).toMatch(/● w running/);
    expect(await terminal.state()).toMatchObject({ alternate: false });
  });

  it('of an instance that does not run: the error, and no screen', async () => {
    await open(100, 30);
    await terminal.type(`node ${BIN} watch --name absent; echo "code $?"`);
    await terminal.shows('code 4');
    expect(await terminal.screen()).toContain('dbproxy up --name absent');
  });

  it('up --watch: the same screen, and how to connect when it is left', async () => {
    await open(100, 30);
    await terminal.type(`node ${BIN} up --name w --watch`);
    await terminal.shows(/e\d+ +primary/);
    await terminal.keys('q');
    await terminal.shows('dbproxy psql --name w');
  });
});
