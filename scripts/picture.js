/** A terminal's screen as an SVG: text with the 16 colours' escape codes in, every run of characters at the column it belongs to. */
import stringWidth from 'string-width';

const COLUMN_PX = 8.43;
const LINE_PX = 20;
const MARGIN_PX = 20;
const INK = '#c0caf5';
const PAPER = '#1a1b26';
const COLORS = ['#15161e', '#f7768e', '#9ece6a', '#e0af68', '#7aa2f7', '#bb9af7', '#7dcfff', '#c0caf5'];
const PLAIN = { bold: false, dim: false, inverse: false, color: undefined, background: undefined };
const ESCAPE = /(\u001b\[[\d;]*m)/;

export const plain = (text) => text.replace(/\u001b\[[\d;]*m/g, '');
const escapeXml = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

export function picture(lines) {
  const columns = Math.max(...lines.map((line) => stringWidth(plain(line).trimEnd())));
  const width = Math.ceil(columns * COLUMN_PX + 2 * MARGIN_PX);
  const height = lines.length * LINE_PX + 2 * MARGIN_PX;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
    `  <rect width="100%" height="100%" rx="8" fill="${PAPER}"/>`,
    `  <g fill="${INK}" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14">`,
    ...lines.flatMap((line, row) => runs(line).flatMap((run) => drawn(run, row))),
    '  </g>',
    '</svg>',
    '',
  ].join('\n');
}

/** Texts of one look, with the columns that they begin at. A look lasts until a code changes it, in this line. */
function runs(line) {
  const found = [];
  let look = PLAIN;
  let column = 0;
  for (const part of line.split(ESCAPE)) {
    const codes = /^\u001b\[([\d;]*)m$/.exec(part)?.[1];
    if (codes !== undefined) look = codes.split(';').map(Number).reduce(changed, look);
    else if (part !== '') {
      found.push({ text: part, column, columns: stringWidth(part), look });
      column += stringWidth(part);
    }
  }
  return found;
}

function changed(look, code) {
  if (code === 0) return PLAIN;
  if (code === 1) return { ...look, bold: true };
  if (code === 2) return { ...look, dim: true };
  if (code === 7) return { ...look, inverse: true };
  if (code === 22) return { ...look, bold: false, dim: false };
  if (code === 27) return { ...look, inverse: false };
  if (code === 39) return { ...look, color: undefined };
  if (code === 49) return { ...look, background: undefined };
  if (code >= 30 && code <= 37) return { ...look, color: COLORS[code - 30] };
  if (code >= 40 && code <= 47) return { ...look, background: COLORS[code - 40] };
  return look;
}

function drawn({ text, column, columns, look }, row) {
  const x = MARGIN_PX + column * COLUMN_PX;
  const y = MARGIN_PX + row * LINE_PX;
  const length = (columns * COLUMN_PX).toFixed(2);
  const [color, background] = look.inverse
    ? [look.background ?? PAPER, look.color ?? INK]
    : [look.color, look.background];
  const paper =
    background === undefined
      ? []
      : [`  <rect x="${x.toFixed(2)}" y="${y}" width="${length}" height="${LINE_PX}" fill="${background}"/>`];
  const attributes = [
    look.bold && ' font-weight="bold"',
    look.dim && ' fill-opacity="0.6"',
    color && ` fill="${color}"`,
  ].filter(Boolean);
  return [
    ...paper,
    ...pieces(text).map((piece) => {
      const place = `x="${(x + piece.column * COLUMN_PX).toFixed(2)}" y="${y + 0.75 * LINE_PX}"`;
      const pieceLength = (stringWidth(piece.text) * COLUMN_PX).toFixed(2);
      return `  <text ${place} textLength="${pieceLength}"${attributes.join('')}>${escapeXml(piece.text)}</text>`;
    }),
  ];
}

/** Without spaces at their ends, or several in a row: browsers collapse them, whatever `white-space` says, and stretch the rest. */
const pieces = (text) =>
  [...text.matchAll(/\S+(?: \S+)*/g)].map((found) => ({
    text: found[0],
    column: stringWidth(text.slice(0, found.index)),
  }));
