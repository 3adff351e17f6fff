/**
 * The page: one file that needs nothing else. Style, script and uPlot are inlined, and its content security policy forbids
 * it to load anything, so that a report can be mailed, kept as an artifact and read without a network.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Html, html } from './html.js';

/** From src/report as from dist/report. */
const asset = (name: string): URL => new URL(`../../assets/report/${name}`, import.meta.url);
/** Nothing is loaded; what is inlined may run. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

export async function page(title: string, made: string, content: Html): Promise<string> {
  const [uplot, style, charts] = await Promise.all([
    readUplot(),
    readFile(asset('page.css'), 'utf8'),
    readFile(asset('charts.js'), 'utf8'),
  ]);
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${POLICY}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        <style>
          ${new Html(uplot.style)}
          ${new Html(style)}
        </style>
      </head>
      <body>
        <main>${content}</main>
        <footer>
          <p>${made}</p>
          <details>
            <summary>Charts by uPlot</summary>
            <pre>${uplot.license}</pre>
          </details>
        </footer>
        <script>
          ${new Html(uplot.script)};
          ${new Html(charts)};
        </script>
      </body>
    </html>`.markup;
}

async function readUplot(): Promise<{ script: string; style: string; license: string }> {
  const script = createRequire(import.meta.url).resolve('uplot/dist/uPlot.iife.min.js');
  const files = [
    script,
    script.replace(/iife\.min\.js$/, 'min.css'),
    script.replace(/dist.uPlot\.iife\.min\.js$/, 'LICENSE'),
  ];
  const [code = '', style = '', license = ''] = await Promise.all(
    files.map((file) => readFile(file, 'utf8')),
  );
  return { script: code, style, license };
}
