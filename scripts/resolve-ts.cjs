/**
 * How the lint rules find the file behind an import: TypeScript sources are imported by the name of their output
 * (`./x.js`), which no resolver of the field's plugins maps back to `x.ts` without a native addition.
 */
const { existsSync } = require('node:fs');
const { dirname, resolve } = require('node:path');

exports.interfaceVersion = 2;

exports.resolve = (source, file) => {
  if (!source.startsWith('.')) return { found: false };
  const path = resolve(dirname(file), source);
  const candidates = [path.replace(/\.js$/, '.ts'), path.replace(/\.js$/, '.tsx'), path];
  const found = candidates.find((candidate) => existsSync(candidate));
  return found === undefined ? { found: false } : { found: true, path: found };
};
