/** Reports as text: what is in them, and that no text of a result becomes markup. In a browser: browser.test.ts. */
import { describe, expect, test } from 'vitest';
import { html } from '../../src/report/html.js';
import { demoReport, handoverReport, moveReport, workloadReport } from '../../src/report/index.js';
import { demo, handed, handover, HOSTILE, move, workload } from './results.js';

describe('templates', () => {
  test('escape text, keep what templates made, join lists, leave out what is not there', () => {
    const inner = html`<b>${'<&>'}</b>`;
    const { markup } = html`<p title="${`"'`}">${inner}${[inner, 1]}${null}${undefined}</p>`;
    expect(markup).toBe('<p title="&quot;&#39;"><b>&lt;&amp;&gt;</b><b>&lt;&amp;&gt;</b>1</p>');
  });
});

describe('a report', () => {
  test('of a scenario has its promises, its switch, its load and its steps', async () => {
    const text = words(await demoReport([demo()]));
    expect(text).toContain('live-scale passed');
    expect(text).toContain('every session moved all of them');
    expect(text).toContain('scale-1: e1 (small, PostgreSQL 17.10) → e2 (large, PostgreSQL 17.10)');
    expect(text).toContain('17 of 17 moved');
    expect(text).toContain('p50 20 ms, p99 31 ms, longest 33 ms, over 9 calls');
    expect(text).toContain('3 settings, 80 prepared statements, 1 temporary table');
    expect(text).toContain(
      'exact: 4,400 commits acknowledged, 4,400 in the history, those of the warm-up (2.0 s) too',
    );
    expect(text).toContain('scale to large done 1.1 s');
  });

  test('of patch --self has processes, sessions, how long they were held, and what clients saw', async () => {
    const text = words(await demoReport([demo({ handovers: [handed()] })]));
    expect(text).toContain('handover-2: the proxy was replaced, process 41 → 42');
    expect(text).toContain('11 handed over, 0 lost');
    expect(text).toContain('p50 8.0 ms, p99 14 ms, longest 15 ms');
    expect(text).toContain('p50 20 ms, p99 31 ms, longest 33 ms, over 9 calls');
    const failed = [{ id: 7, reason: HOSTILE }];
    const alone = await handoverReport(handover({ sessions: { handed: 10, lost: 1, failed } }));
    expect(words(alone)).toContain('handover-2 1 sessions lost');
    expect(words(alone)).toContain('Session 7 was lost: ');
    expect(alone).not.toContain('<img');
  });

  test('of several scenarios has all of them', async () => {
    const page = await demoReport([demo(), demo({ scenario: 'patch', outcome: 'failed' })]);
    expect(page).toContain('<title>dbproxy: live-scale passed, patch failed</title>');
    expect(page.match(/<h1>/g)).toHaveLength(2);
  });

  test('of a scenario without a load, which could not go on, says why', async () => {
    const error = { code: 'DBP_ENV_PORT_TAKEN', message: 'port 1 is taken' };
    const broken = demo({
      outcome: 'errored',
      error,
      verdict: 'It did not start.',
      workload: null,
      engine: null,
    });
    const text = words(await demoReport([{ ...broken, switches: [], expectations: [] }]));
    expect(text).toContain('live-scale errored It did not start. port 1 is taken DBP_ENV_PORT_TAKEN');
    expect(text).not.toContain('What the clients saw');
  });

  test('of a load that went wrong says so', async () => {
    const load = workload({ errors: { '08006': 3 }, unknown: 2, invalidReasons: ['the generator was late'] });
    const text = words(await workloadReport(load));
    expect(text).toContain('3 × 08006, 2 of unknown outcome');
    expect(text).toContain('Do not quote these numbers: the generator was late.');
  });

  test('of a roll-back says why', async () => {
    const error = {
      code: 'DBP_SWITCH_UNMOVABLE',
      message: 'session 7 holds a large object',
      suggestions: [],
    };
    const text = words(await moveReport(move({ outcome: 'rolled-back', error })));
    expect(text).toContain('Rolled back: session 7 holds a large object DBP_SWITCH_UNMOVABLE');
  });

  test('has no text of a result as markup, wherever it stands', async () => {
    const hostile = [
      await demoReport([
        demo({
          scenario: HOSTILE,
          steps: [{ name: HOSTILE, outcome: 'done', ms: 1 }],
          expectations: [{ text: HOSTILE, actual: HOSTILE, ok: false }],
          engine: { providerReason: HOSTILE, postgres: HOSTILE },
        }),
      ]),
      await workloadReport(workload({ errors: { [HOSTILE]: 1 }, invalidReasons: [HOSTILE] })),
      await moveReport(
        move({
          error: { code: HOSTILE, message: HOSTILE, suggestions: [] },
          lost: [{ id: 1, what: HOSTILE }],
          sessions: { total: 1, moved: 0, kept: 0, dropped: 0, failed: [{ id: 1, reason: HOSTILE }] },
        }),
      ),
    ];
    for (const page of hostile) {
      expect(page).not.toContain('<img');
      expect(page).not.toContain('<script>document');
      expect(page).toContain('&lt;img src=https://example.com/x&gt;');
    }
  });

  test('keeps the licence of what it inlines', async () => {
    expect(await demoReport([demo()])).toContain('Permission is hereby granted, free of charge');
  });
});

/** The page without its markup, its style and its scripts. */
const words = (page: string): string =>
  page
    .replace(/<(script|style)[^]*?<\/\1>/g, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .replace(/ ([,.:])/g, '$1');
