/** Tables of a report: facts by name, and figures with heads that a screen reader tells for every cell. */
import { html, type Html } from './html.js';

type Cell = Html | string | number | null;

/** A list of names and values; what has no value is left out. */
export function facts(rows: readonly (readonly [name: string, value: Cell | undefined])[]): Html {
  const known = rows.filter(([, value]) => value !== undefined && value !== null);
  return html`<dl class="facts">
    ${known.map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}

/** Scrolls by itself where it is wider than the page. The first cell of a row is its head. */
export function table(caption: string, heads: readonly string[], rows: readonly (readonly Cell[])[]): Html {
  return html`<div class="table" tabindex="0" role="region" aria-label="${caption}">
    <table>
      <caption>
        ${caption}
      </caption>
      <thead>
        <tr>
          ${heads.map((head) => html`<th scope="col">${head}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ([first = null, ...rest]) =>
            html`<tr>
              <th scope="row">${first}</th>
              ${rest.map((cell) => html`<td>${cell}</td>`)}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
