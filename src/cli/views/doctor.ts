/** `doctor` for people. */
import type { DoctorCheck, DoctorResult } from '../../control/doctor.js';
import type { Style } from '../style.js';

export function doctorView({ checks, healthy }: DoctorResult, style: Style): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap((check) => {
    const line = `  ${markOf(check, style)} ${check.name.padEnd(width)}  ${check.detail}`;
    const advice = `    ${' '.repeat(width)}  ${style.accent(check.advice ?? '')}`;
    return check.advice === null ? [line] : [line, advice];
  });
  const verdict = healthy
    ? `${style.ok} dbproxy works here`
    : `${style.fail} something has to be put right first`;
  return [...lines, '', verdict].join('\n');
}

function markOf({ state }: DoctorCheck, style: Style): string {
  if (state === 'problem') return style.fail;
  return state === 'warning' ? style.caution : style.ok;
}
