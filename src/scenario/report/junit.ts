/**
 * JUnit's XML, which every CI system reads: a scenario is a suite; its steps and its expectations are the cases.
 * https://github.com/testmoapp/junitxml has what readers agree on.
 */
import type { DemoResult, ExpectationResult, StepResult } from '../types.js';

export function junit(results: readonly DemoResult[]): string {
  const suites = results.map(suite);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites name="dbproxy demo">',
    ...suites,
    '</testsuites>',
    '',
  ].join('\n');
}

function suite(result: DemoResult): string {
  const cases = [
    ...result.steps.map((step) => stepCase(step, result)),
    ...result.expectations.map((each) => expectationCase(each, result)),
  ];
  const counts = {
    tests: cases.length,
    failures: cases.filter((text) => text.includes('<failure')).length,
    errors: cases.filter((text) => text.includes('<error')).length,
    skipped: cases.filter((text) => text.includes('<skipped')).length,
  };
  const { scenario, file, startedAt, totalMs } = result;
  return element(
    'testsuite',
    { name: scenario, file, timestamp: startedAt, time: seconds(totalMs), ...counts },
    cases,
    '  ',
  );
}

function stepCase(
  { name, verb, line, outcome, ms, detail, error }: StepResult,
  { scenario, file }: DemoResult,
): string {
  const inner =
    outcome === 'skipped'
      ? ['      <skipped/>']
      : outcome === 'done'
        ? []
        : error
          ? [element('error', { message: error.message, type: error.code }, [], '      ')]
          : [element('failure', { message: detail, type: verb }, [], '      ')];
  return testcase(`step: ${name}`, scenario, file, line, ms, inner);
}

function expectationCase(
  { text, actual, ok, line, when }: ExpectationResult,
  { scenario, file }: DemoResult,
): string {
  const inner = ok
    ? []
    : [element('failure', { message: `${text}: ${actual}`, type: 'expectation' }, [], '      ')];
  return testcase(`${when === 'end' ? 'expect' : `steady ${when}`}: ${text}`, scenario, file, line, 0, inner);
}

const testcase = (
  name: string,
  scenario: string,
  file: string,
  line: number | null,
  ms: number,
  inner: readonly string[],
): string =>
  element(
    'testcase',
    { name, classname: scenario, file, ...(line === null ? {} : { line }), time: seconds(ms) },
    inner,
    '    ',
  );

const seconds = (ms: number): string => (ms / 1000).toFixed(3);

function element(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  inner: readonly string[],
  indent: string,
): string {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${escape(String(value))}"`);
  const head = `${indent}<${name}${written.join('')}`;
  return inner.length === 0 ? `${head}/>` : [`${head}>`, ...inner, `${indent}</${name}>`].join('\n');
}

/** XML 1.0 has no way to write most control characters. */
const escape = (text: string): string =>
  text
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\n', '&#10;');
