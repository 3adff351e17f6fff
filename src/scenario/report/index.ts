/**
 * Reports: one result, many forms. A reporter is a function of results that have ended; it knows nothing of files, and
 * nobody knows of another reporter.
 *
 *   DemoResult[] ── junit | markdown | … ──▶ text ── cli/output-file.ts ──▶ file
 */
import { junit } from './junit.js';
import { markdown } from './markdown.js';
import type { DemoResult } from '../types.js';

/** The whole report as a text. */
export type Reporter = (results: readonly DemoResult[]) => string | Promise<string>;

/** By the name of the flag that asks for them. */
export type ReporterName = 'junit' | 'markdown';
export const REPORTERS: Readonly<Record<ReporterName, Reporter>> = { junit, markdown };

export { annotations, annotationsOfWrong } from './annotations.js';
export { appendReport, EventFile } from './files.js';
