/**
 * Annotations of GitHub Actions: what is wrong, at the line of the scenario that says so
 * (GitHub documentation, "Workflow commands for GitHub Actions").
 */
import { relative } from 'node:path';
import type { DemoResult } from '../types.js';

/** One command a line; empty when everything held. `root`: what the paths are relative to. */
export const annotations = (results: readonly DemoResult[], root: string): string[] =>
  results.flatMap((result) => {
    const { scenario, file, steps, expectations, error } = result;
    const path = relative(root, file) || file;
    const annotate = (line: number, title: string, message: string): string =>
      `::error file=${property(path)},line=${line},title=${property(title)}::${data(message)}`;
    const failed = steps.filter(({ outcome }) => outcome === 'failed');
    const ofSteps = failed.flatMap(({ line, name, detail }) =>
      line === null ? [] : [annotate(line, `${scenario}: ${name}`, detail)],
    );
    const ofExpectations = expectations.flatMap(({ ok, line, text, actual }) =>
      ok ? [] : [annotate(line, `${scenario}: ${text}`, `expected ${text}, saw ${actual}`)],
    );
    const ofError =
      error && ofSteps.length === 0 ? [annotate(1, scenario, `${error.code}: ${error.message}`)] : [];
    return [...ofSteps, ...ofExpectations, ...ofError];
  });

const data = (text: string): string =>
  text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
const property = (text: string): string => data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
