/**
 * Annotations of GitHub Actions: what is wrong, at the line of the scenario that says so
 * (GitHub documentation, "Workflow commands for GitHub Actions").
 */
import { relative } from 'node:path';
import type { DbproxyError } from '../../errors/index.js';
import type { Complaint } from '../file/complaints.js';
import type { DemoResult } from '../types.js';

/** One command a line; empty when everything held. `root`: what the paths are relative to. */
export const annotations = (results: readonly DemoResult[], root: string): string[] =>
  results.flatMap((result) => {
    const { scenario, file, steps, expectations, error } = result;
    const annotate = annotatorOf(file, root);
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

/** Of files that are no scenarios: each complaint at its line. */
export const annotationsOfWrong = (errors: readonly DbproxyError[], root: string): string[] =>
  errors.flatMap(({ message, details: { file, line, reason }, lists }) => {
    if (file === undefined) return [`::error::${data(message)}`];
    const annotate = annotatorOf(String(file), root);
    const complaints = lists.complaints as readonly Complaint[] | undefined;
    const all = complaints ?? [{ line: Number(line), path: '', reason: String(reason) }];
    return all.map((each) => annotate(each.line, each.path || 'not a scenario', each.reason));
  });

const annotatorOf = (file: string, root: string) => {
  const path = relative(root, file) || file;
  return (line: number, title: string, message: string): string =>
    `::error file=${property(path)},line=${line},title=${property(title)}::${data(message)}`;
};

const data = (text: string): string =>
  text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
const property = (text: string): string => data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
