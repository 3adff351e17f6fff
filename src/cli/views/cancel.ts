/** What became of an operation that was to be given up, for people. */
import type { CancelResult } from '../../control/api.js';
import type { Style } from '../style.js';

export function cancelView({ instance, operation, id, outcome }: CancelResult, style: Style): string {
  if (outcome === null) return `${style.ok} nothing to give up: no scale or patch of ${instance} is running`;
  const what = style.strong(id ?? operation ?? '');
  return outcome === 'rolled-back'
    ? `${style.ok} ${what} was given up; every session goes on where it was`
    : `${style.caution} ${what} was past its point of no return, and is completed`;
}
