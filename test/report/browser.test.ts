/** Reports in a real Chromium: drawn, complete without a network, readable in light and dark, on a phone and on paper. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { demoReport, workloadReport } from '../../src/report/index.js';
import { CHROMIUM, openBrowser } from '../support/chromium.js';
import { SOON } from '../support/soon.js';
import { demo, HOSTILE, workload } from './results.js';

let browser: Browser;
let directory: string;

interface Opened {
  readonly page: Page;
  /** Everything that was loaded or should have been, but for the file itself. */
  readonly requests: readonly string[];
  /** Errors, and what was written to the console. */
  readonly complaints: readonly string[];
}

async function open(report: string, options: BrowserContextOptions = {}): Promise<Opened> {
  const file = join(directory, 'report.html');
  await writeFile(file, report);
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const requests: string[] = [];
  const complaints: string[] = [];
  page.on('request', (request) => {
    if (request.url() !== pathToFileURL(file).href) requests.push(request.url());
  });
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(pathToFileURL(file).href, { waitUntil: 'load' });
  return { page, requests, complaints };
}

/** Colours of the pixels of a chart that are not of its background, as `r,g,b`, most frequent first. */
const inks = (page: Page): Promise<string[]> =>
  page.evaluate(`(() => {
    const canvas = document.querySelector('.canvas canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Map();
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] < 250) continue;
      const color = data[i] + ',' + data[i + 1] + ',' + data[i + 2];
      seen.set(color, (seen.get(color) ?? 0) + 1);
    }
    return [...seen].sort((a, b) => b[1] - a[1]).map(([color]) => color);
  })()`);

const overflow = (page: Page): Promise<number> =>
  page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');

describe.skipIf(CHROMIUM === undefined)('a report in Chromium', () => {
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'dbp-report-'));
    browser = await openBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    if (directory) await rm(directory, { recursive: true, force: true });
  });

  test('draws every chart, loads nothing and has nothing to complain about', async () => {
    const { page, requests, complaints } = await open(await demoReport([demo()]));
    expect(await page.locator('.canvas canvas').count()).toBe(4);
    expect(await inks(page)).toContain('11,92,173');
    expect(requests).toEqual([]);
    expect(complaints).toEqual([]);
  });

  test('marks the time in which sessions were held', async () => {
    // Half transparent, behind the lines.
    const visible = `(() => {
      const canvas = document.querySelector('.canvas canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      let n = 0;
      for (let i = 0; i < data.length; i += 4)
        if (data[i] > 200 && data[i + 2] < 40 && data[i + 3] > 40 && data[i + 3] < 120) n++;
      return n;
    })()`;
    const { page } = await open(await workloadReport(workload()));
    expect(await page.evaluate<number>(visible)).toBeGreaterThan(100);
    const without = workload({ stallMs: { ...workload().stallMs, windows: [] } });
    const { page: plain } = await open(await workloadReport(without));
    expect(await plain.evaluate<number>(visible)).toBe(0);
  });

  test('what is hostile in a result is text', async () => {
    const report = await demoReport([demo({ scenario: HOSTILE })]);
    const { page, requests, complaints } = await open(report);
    expect(await page.locator('h1').innerText()).toContain(HOSTILE);
    expect(await page.title()).not.toBe('broken');
    expect([requests, complaints]).toEqual([[], []]);
  });

  test('light and dark: text and lines stand out from the page, and follow when the system changes', async () => {
    const { page } = await open(await demoReport([demo()]), { colorScheme: 'light' });
    expect(await contrast(page)).toBeGreaterThan(7);
    expect(await inks(page)).toContain('11,92,173');
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await contrast(page)).toBeGreaterThan(7);
    await expect.poll(() => inks(page), SOON).toContain('108,179,255');
    expect(await inks(page)).not.toContain('11,92,173');
  });

  test('a phone: nothing has to be scrolled sideways, charts are as wide as the page', async () => {
    const { page } = await open(await demoReport([demo()]), { viewport: { width: 360, height: 740 } });
    await page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))");
    expect(await page.locator('details[open]').count()).toBe(5);
    expect(await overflow(page)).toBe(0);
    const box = await page.locator('.canvas canvas').first().boundingBox();
    expect(box?.width).toBeGreaterThan(280);
    expect(box?.width).toBeLessThanOrEqual(360);
  });

  test('a wide window made narrow: the charts follow', async () => {
    const { page } = await open(await demoReport([demo()]), { viewport: { width: 1200, height: 800 } });
    await page.setViewportSize({ width: 360, height: 740 });
    await expect.poll(() => overflow(page), SOON).toBe(0);
  });

  test('paper: light, and no wider than the sheet, also from a dark screen', async () => {
    const { page } = await open(await demoReport([demo()]), { colorScheme: 'dark' });
    await page.emulateMedia({ media: 'print' });
    expect(await page.evaluate<string>('getComputedStyle(document.body).backgroundColor')).toBe(
      'rgb(255, 255, 255)',
    );
    await expect.poll(() => inks(page), SOON).toContain('11,92,173');
    expect((await page.pdf({ format: 'A4' })).subarray(0, 5).toString()).toBe('%PDF-');
  });

  test('without a picture: the figures are in tables, charts have a name, parts have heads', async () => {
    const { page } = await open(await demoReport([demo()]), { javaScriptEnabled: false });
    const seconds = page.locator('table', { has: page.getByText('Throughput and latency, each second') });
    expect(await seconds.locator('tbody tr').count()).toBe(20);
    const around = page.locator('table', { has: page.getByText('Around the switch, each 100 ms') }).first();
    expect(await around.locator('tbody tr').count()).toBe(40);
    expect(await around.locator('tbody tr th[scope=row]').count()).toBe(40);
    const images = await page.getByRole('img').all();
    const names = await Promise.all(images.map((image) => image.getAttribute('aria-label')));
    expect(names).toHaveLength(4);
    expect(names).toEqual(Array(4).fill(expect.stringMatching(/^(Throughput|Latency).*at most/)));
    expect(await page.locator('html').getAttribute('lang')).toBe('en');
  });
});

/** Contrast of the text of the page, as WCAG 2 counts it: 4.5 is enough, 7 is good. */
function contrast(page: Page): Promise<number> {
  return page.evaluate(`(() => {
    const { color, backgroundColor } = getComputedStyle(document.body);
    const light = (text) => {
      const [r, g, b] = text.match(/[\\d.]+/g).map((part) => part / 255)
        .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const [a, b] = [light(color), light(backgroundColor)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  })()`);
}
