/** The report of a scenario that was really played, in a real browser. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cli } from '../support/cli.js';
import { CHROMIUM, openBrowser } from '../support/chromium.js';

const LONG_MS = 180_000;
const SCENARIO = `version: 1
name: a move and a handover
workload: { script: tpcb-like, clients: 4, rate: 40/s }
steps:
  - sleep: 1s
  - scale: { to: medium }
  - sleep: 1s
  - patch: { self: true }
  - sleep: 1s
expect:
  - client.errors == 0
`;

describe.skipIf(CHROMIUM === undefined)('a scenario that was played, in Chromium', () => {
  let cli: Cli;
  let browser: Browser;
  let page: Page;
  let markdown: string;
  const strange: string[] = [];

  beforeAll(async () => {
    cli = await Cli.open();
    browser = await openBrowser();
    const [file, report, summary] = ['s.yaml', 'r.html', 'm.md'].map((name) => join(cli.home, name));
    await writeFile(file!, SCENARIO);
    const played = await cli.run(['demo', 'run', file!, '--report', report!, '--markdown', summary!]);
    expect(played.code, played.stdout + played.stderr).toBe(0);
    markdown = await readFile(summary!, 'utf8');
    page = await browser.newPage();
    page.on('request', (request) => {
      if (!request.url().endsWith('/r.html')) strange.push(request.url());
    });
    page.on('console', (message) => strange.push(message.text()));
    page.on('pageerror', (error) => strange.push(error.message));
    await page.goto(pathToFileURL(report!).href, { waitUntil: 'load' });
  }, LONG_MS);
  afterAll(async () => {
    await browser?.close();
    await cli?.close();
  });

  it('draws the load, the move and the handover, and loads nothing', async () => {
    const heads = await page.locator('h2').allInnerTexts();
    expect(heads).toContainEqual(expect.stringMatching(/^scale-\d+: e1 \(small, .* → e2 \(medium, /));
    expect(heads).toContainEqual(
      expect.stringMatching(/^handover-\d+: the proxy was replaced, process \d+ → \d+$/),
    );
    // Throughput and latency: of the whole run, around the move, around the handover.
    expect(await page.locator('.canvas canvas').count()).toBe(6);
    expect(strange).toEqual([]);
  });

  it('says how many sessions were handed over, and what clients felt of it', async () => {
    const section = page.locator('section', { has: page.getByText('the proxy was replaced') });
    const text = await section.innerText();
    expect(text).toMatch(/[4-9] handed over, 0 lost/);
    expect(text).toMatch(/held\s+p50 .* longest /);
    const figures = section.locator('details').first();
    await figures.locator('summary').click();
    expect(await figures.getAttribute('open')).not.toBeNull();
    expect(await figures.locator('tbody tr').count()).toBeGreaterThan(10);
  });

  it('Markdown has both, too', () => {
    expect(markdown).toMatch(/\| small 17\.\d+ → medium 17\.\d+ \| completed \|/);
    expect(markdown).toMatch(/\| process \d+ → \d+ \| [4-9] \| 0 \| \d/);
  });
});
