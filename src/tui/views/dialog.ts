/** A dialog in place of the sessions: its fields, and what to know before Enter is pressed. */
import type { Dialog, Field } from '../dialogs.js';
import { EMPTY, span, type Line } from '../text.js';
import { wrapped } from './footer.js';

const NOTE_LINES = 3;

export function dialogView({ title, fields, focus, note }: Dialog, width: number): Line[] {
  const labels = Math.max(0, ...fields.map(({ label }) => label.length));
  return [
    [span(title, 'title')],
    EMPTY,
    ...fields.map((field, index) => fieldLine(field, index === focus, labels)),
    ...(fields.length > 0 ? [EMPTY] : []),
    ...wrapped(note, width - 2, NOTE_LINES).map((text): Line => [span(`  ${text}`, 'dim')]),
  ];
}

function fieldLine(field: Field, focused: boolean, labels: number): Line {
  const label: Line = [span(focused ? '› ' : '  ', 'key'), span(`${field.label.padEnd(labels)}  `, 'strong')];
  if (field.kind === 'text') return [...label, span(field.value), span(focused ? '▏' : '', 'key')];
  // Brackets say what is chosen where there are no colours.
  return [
    ...label,
    ...field.options.flatMap((option) =>
      option === field.value
        ? [span(`[${option}]`, 'good'), span(' ')]
        : [span(` ${option} `, 'dim'), span(' ')],
    ),
  ];
}
