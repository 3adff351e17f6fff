/** The order in which temporary objects can be made: what something needs comes before it. */
import type { Definitions, FunctionDefinition, Relation, TypeDefinition } from './temp-definitions.js';

export type TempObject =
  | { readonly is: 'type'; readonly of: TypeDefinition }
  | { readonly is: 'function'; readonly of: FunctionDefinition }
  | { readonly is: 'relation'; readonly of: Relation };

/** By pg_depend. What needs one another (functions only do by their texts, which are not checked) comes as it was made. */
export const inOrder = (definitions: Definitions): TempObject[] => {
  const { types, functions, relations } = definitions;
  const objects: TempObject[] = [
    ...types.map((of) => ({ is: 'type', of }) as const),
    ...functions.map((of) => ({ is: 'function', of }) as const),
    // The sequence of an identity column comes with its column.
    ...relations.filter(({ ownedBy }) => !ownedBy?.identity).map((of) => ({ is: 'relation', of }) as const),
  ].sort((a, b) => a.of.oid - b.of.oid);
  const byId = new Map<string, TempObject>();
  for (const object of objects) for (const id of idsOf(object)) byId.set(id, object);
  const needs = new Map<TempObject, Set<TempObject>>();
  for (const [ofClass, of, onClass, on] of definitions.dependencies) {
    const from =
      byId.get(`${classOf[ofClass] ?? ofClass} ${of}`) ??
      byId.get(`pg_class ${of}`) ??
      byId.get(`pg_type ${of}`);
    const to = byId.get(`${onClass} ${on}`);
    // A serial's sequence is made owned by its column when both are there.
    if (!from || !to || from === to || isSerial(from)) continue;
    needs.set(from, (needs.get(from) ?? new Set()).add(to));
  }
  const done = new Set<TempObject>();
  const visit = (object: TempObject, path: ReadonlySet<TempObject>): void => {
    if (done.has(object) || path.has(object)) return;
    for (const needed of needs.get(object) ?? []) visit(needed, new Set([...path, object]));
    done.add(object);
  };
  for (const object of objects) visit(object, new Set());
  return [...done];
};

const isSerial = (object: TempObject): boolean =>
  object.is === 'relation' && object.of.kind === 'S' && object.of.ownedBy !== null;

/** Rules stand for their views, expressions of generated columns for their tables, checks for their domains. */
const classOf: Readonly<Record<string, string>> = {
  pg_rewrite: 'pg_class',
  pg_attrdef: 'pg_class',
  pg_constraint: 'pg_type',
};

const idsOf = ({ is, of }: TempObject): string[] => {
  if (is === 'function') return [`pg_proc ${of.oid}`];
  if (is === 'type') return [`pg_type ${of.oid}`, `pg_type ${of.array}`, `pg_type ${of.multirange ?? 0}`];
  return [`pg_class ${of.oid}`, `pg_type ${of.rowType}`, `pg_type ${of.rowArray}`].filter(
    (id) => !id.endsWith(' 0'),
  );
};
