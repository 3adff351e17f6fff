/**
 * Rows 10 and 11: the statements that make temporary objects again, in exact mode, where names without a schema are those of
 * temporary relations and types. Tables come bare; what hangs on them comes once their rows are there, so that nothing fires,
 * nothing is checked twice, and circles do not matter. What can do none of that comes with the table, which saves its ALTER:
 * defaults that need nothing else, and a primary key.
 */
/* eslint dbproxy/sql-quoting: 'off' -- names, types and definitions are as the engine has written them, quoted (temp-definitions.ts: quote_ident, format_type, pg_get_*def) */
import { literal } from './kind.js';
import {
  own,
  type Column,
  type Constraint,
  type Definitions,
  type Grant,
  type Index,
  type Owned,
  type Relation,
  type Trigger,
  type TypeDefinition,
} from './temp-definitions.js';
import type { OnCommit } from './temp-on-commit.js';
import { inOrder, type TempObject } from './temp-order.js';

export interface Ddl {
  readonly sql: string;
  /** `temporary table t` */
  readonly what: string;
}

/** Types, functions, sequences, bare tables, views. */
export const create = (definitions: Definitions, onCommit: OnCommit): Ddl[] =>
  inOrder(definitions).flatMap((object) => [
    made(definitions, object, onCommit),
    ...(object.is === 'relation' && object.of.attached ? attach(object.of) : []),
    ...definitions.constraints
      .filter(({ early, table }) => early && object.is === 'relation' && table === object.of.name)
      .filter((constraint) => !comesWithTable(definitions, constraint))
      .map((constraint) => constrain(definitions, constraint)),
  ]);

/**
 * Indexes of tables that were never analyzed. They come before the rows: made after them, they would tell the planner how many
 * there are (index.c, index_update_stats), and plans be others than before.
 */
export const emptyIndexes = (definitions: Definitions): Ddl[] => [
  ...definitions.constraints
    .filter((constraint) => isEmptyIndex(definitions, constraint) && !comesWithTable(definitions, constraint))
    .map((constraint) => constrain(definitions, constraint)),
  ...definitions.indexes
    .filter((index) => !index.made && isNew(definitions, index))
    .map((index) => indexed(definitions, index)),
];

const isNew = ({ relations }: Definitions, { table }: { table: string }): boolean =>
  relations.some(({ name, kind, analyzed }) => name === table && kind === 'r' && !analyzed);

const isEmptyIndex = (definitions: Definitions, constraint: Constraint): boolean =>
  !constraint.early && 'pux'.includes(constraint.type) && isNew(definitions, constraint);

/** No parent and no child: what it has is its own. */
const isSingle = ({ relations }: Definitions, { name, kind, parents }: Relation): boolean =>
  kind === 'r' && parents.length === 0 && !relations.some((other) => other.parents.includes(name));

/** Of a table's keys only this one: CREATE TABLE leaves out a UNIQUE that says the same (parse_utilcmd.c, transformIndexConstraints). */
const comesWithTable = (definitions: Definitions, constraint: Constraint): boolean =>
  constraint.type === 'p' &&
  (constraint.early || isEmptyIndex(definitions, constraint)) &&
  definitions.relations.some((table) => table.name === constraint.table && isSingle(definitions, table));

/** What comes after the rows, identities first: their sequences are given their values next. */
export const identities = ({ relations }: Definitions): Ddl[] =>
  relations.flatMap((relation) => {
    const { ownedBy, sequence, name, owner } = relation;
    if (relation.kind !== 'S' || !ownedBy) return [];
    const { table, column, identity } = ownedBy;
    // It begins as one of the column's type, and may have become one of another.
    const sql = identity
      ? `alter table only ${table} alter column ${column} add generated ${identity === 'a' ? 'always' : 'by default'} as identity
           (sequence name pg_temp.${name}); alter sequence ${name} ${sequence ?? ''} restart`
      : `alter sequence ${name} owned by ${table}.${column}`;
    return [{ sql: asOwner(owner, sql), what: `sequence ${name}` }];
  });

/** Defaults, constraints, indexes, triggers; comments and privileges last. */
export const complete = (definitions: Definitions): Ddl[] => {
  const { types, functions, relations, constraints, indexes, triggers } = definitions;
  const tables = relations.filter(isTable);
  return [
    ...tables.flatMap((table) => defaults(definitions, table)),
    ...constraints.flatMap((constraint) => [
      ...(constraint.early || isEmptyIndex(definitions, constraint)
        ? []
        : [constrain(definitions, constraint)]),
      ...commented(
        constraint.owner,
        'constraint',
        `${constraint.name} on ${constraint.table}`,
        constraint.comment,
      ),
    ]),
    ...definitions.validated.map(({ table, name, owner }) => ({
      sql: asOwner(owner, `alter table ${table} validate constraint ${name}`),
      what: `constraint ${name} of temporary table ${table}`,
    })),
    ...indexes.flatMap((index) => {
      const { table, name, statistics, clustered, replicaIdentity, comment, owner } = index;
      return [
        ...(index.made || isNew(definitions, index) ? [] : [indexed(definitions, index)]),
        ...statistics.map(({ column, target }) => ({
          sql: asOwner(owner, `alter index ${name} alter column ${column} set statistics ${target}`),
          what: `index ${name}`,
        })),
        ...(clustered
          ? [{ sql: asOwner(owner, `alter table ${table} cluster on ${name}`), what: `index ${name}` }]
          : []),
        ...(replicaIdentity
          ? [
              {
                sql: asOwner(owner, `alter table ${table} replica identity using index ${name}`),
                what: `index ${name}`,
              },
            ]
          : []),
        ...commented(owner, 'index', name, comment),
      ];
    }),
    ...triggers.flatMap((trigger) => triggered(definitions, trigger)),
    ...tables.flatMap((table) => tableDetails(table)),
    ...types.flatMap((type) => [
      // Values may be there that do not pass.
      ...(type.checks ?? [])
        .filter(({ valid }) => !valid)
        .map(({ name, definition }) => ({
          sql: asOwner(
            type.owner,
            `alter domain pg_temp.${type.name} add constraint ${name} ${own(definitions, definition)}`,
          ),
          what: `temporary type ${type.name}`,
        })),
      ...(type.checks ?? []).flatMap((check) =>
        commented(type.owner, 'constraint', `${check.name} on domain pg_temp.${type.name}`, check.comment),
      ),
      ...commented(type.owner, type.kind === 'd' ? 'domain' : 'type', type.name, type.comment),
      ...granted(definitions, type, 'type', type.name),
    ]),
    ...functions.flatMap((each) => [
      ...commented(each.owner, each.word, `pg_temp.${own(definitions, each.name)}`, each.comment),
      ...granted(definitions, each, each.word, `pg_temp.${own(definitions, each.name)}`),
    ]),
    ...relations.flatMap((relation) => relationDetails(definitions, relation)),
  ];
};

/** Runs as the object's owner. */
export const asOwner = (owner: string | null, sql: string): string =>
  owner === null ? sql : `set local role ${owner}; ${sql}; set local role none`;

const isTable = ({ kind }: Relation): boolean => kind === 'r' || kind === 'p';

const made = (definitions: Definitions, object: TempObject, onCommit: OnCommit): Ddl => {
  const clause = object.is === 'relation' && onCommit.get(object.of.oid) ? ' on commit delete rows' : '';
  const sql = own(definitions, definitionOf(definitions, object)) + clause;
  const what =
    object.is === 'relation'
      ? `${words[object.of.kind]} ${object.of.name}`
      : `${object.is} ${object.of.name}`;
  return { sql: asOwner(object.of.owner, sql), what: `temporary ${what}` };
};

const words = { r: 'table', p: 'table', v: 'view', S: 'sequence', c: 'type' } as const;

const definitionOf = (definitions: Definitions, object: TempObject): string => {
  if (object.is === 'function') return object.of.definition;
  if (object.is === 'type') return typeDefinition(object.of);
  const { of: relation } = object;
  switch (relation.kind) {
    case 'c':
      return `create type pg_temp.${relation.name} as (${relation.columns
        .map(({ name, type, collation }) => `${name} ${type}${collated(collation)}`)
        .join(', ')})`;
    case 'S':
      return `create temp sequence ${relation.name} ${relation.sequence ?? ''}`;
    case 'v':
      return `create temp view ${relation.name} (${relation.columns.map(({ name }) => name).join(', ')})
        ${relation.options ? `with ${relation.options}` : ''} as ${relation.view ?? ''}`;
    case 'r':
    case 'p':
      return tableDefinition(definitions, relation);
  }
};

const typeDefinition = ({ kind, name, labels, domain, checks, range }: TypeDefinition): string => {
  if (kind === 'e') return `create type pg_temp.${name} as enum (${(labels ?? []).map(literal).join(', ')})`;
  if (kind === 'r') return `create type pg_temp.${name} as range (${range ?? ''})`;
  const constraints = (checks ?? [])
    .filter(({ valid }) => valid)
    .map(({ name: check, definition }) => ` constraint ${check} ${definition}`);
  return `create domain pg_temp.${name} as ${domain ?? ''}${constraints.join('')}`;
};

const collated = (collation: string | null): string => (collation === null ? '' : ` collate ${collation}`);

const tableDefinition = (definitions: Definitions, table: Relation): string => {
  const { name, columns, parents, bound, attached, partitionKey, options } = table;
  const asPartition = bound !== null && !attached;
  const single = isSingle(definitions, table);
  const local = [
    ...columns
      .filter(({ inherited }) => !inherited || attached)
      .map(
        (column) =>
          columnDefinition(column) + (single && column.selfContained ? ` default (${column.default})` : ''),
      ),
    ...definitions.constraints
      .filter((constraint) => constraint.table === name && comesWithTable(definitions, constraint))
      .map((key) => `constraint ${key.name} ${key.definition}`),
  ];
  return [
    `create temp table ${name}`,
    asPartition ? `partition of ${parents[0]} ${bound}` : `(${local.join(', ')})`,
    parents.length > 0 && bound === null && !attached ? `inherits (${parents.join(', ')})` : '',
    partitionKey === null ? '' : `partition by ${partitionKey}`,
    options === null ? '' : `with ${options}`,
  ].join(' ');
};

/** Its parents are as bare as it is: nothing that it would have to have already. */
const attach = ({ name, parents, bound, owner }: Relation): Ddl[] =>
  parents.map((parent) => ({
    sql: asOwner(
      owner,
      bound === null
        ? `alter table ${name} inherit ${parent}`
        : `alter table ${parent} attach partition ${name} ${bound}`,
    ),
    what: `parent ${parent} of temporary table ${name}`,
  }));

const columnDefinition = (column: Column): string =>
  [
    column.name,
    column.type,
    collated(column.collation),
    column.compression === null ? '' : `compression ${column.compression}`,
    column.generated ? `generated always as (${column.default ?? ''}) stored` : '',
    column.notNull ? 'not null' : '',
  ].join(' ');

const defaults = (definitions: Definitions, relation: Relation): Ddl[] => {
  const { name: table, columns, owner } = relation;
  const single = isSingle(definitions, relation);
  return columns.flatMap((column) => {
    const changes = [
      ...(column.default !== null && !column.generated && !(single && column.selfContained)
        ? [`set default ${own(definitions, column.default)}`]
        : []),
      ...(column.inherited && column.notNull ? ['set not null'] : []),
      ...(column.storage === null ? [] : [`set storage ${column.storage}`]),
      ...(column.statistics === null ? [] : [`set statistics ${column.statistics}`]),
    ];
    if (changes.length === 0) return [];
    const sql = `alter table only ${table} ${changes.map((change) => `alter column ${column.name} ${change}`).join(', ')}`;
    return [{ sql: asOwner(owner, sql), what: `column ${column.name} of temporary table ${table}` }];
  });
};

const constrain = (definitions: Definitions, { table, name, definition, owner, type }: Constraint): Ddl => {
  // A check is added to the children, too, which have not got theirs yet.
  const only = type === 'c' ? '' : 'only ';
  const sql = `alter table ${only}${table} add constraint ${name} ${own(definitions, definition)}`;
  const checked = (type === 'c' || type === 'f') && !definition.endsWith(' NOT VALID');
  return {
    sql: asOwner(owner, checked && definitions.plpgsql ? unlessViolated(sql, owner) : sql),
    what: `constraint ${name} of temporary table ${table}`,
  };
};

const indexed = (definitions: Definitions, { name, definition, owner }: Index): Ddl => ({
  sql: asOwner(owner, own(definitions, definition)),
  what: `index ${name}`,
});

/**
 * Rows may be there that do not pass: made under session_replication_role, or checked by a function that says something else now.
 * And a table may have been given, with its foreign key, to somebody who may not refer to the other: then as the login user.
 */
const unlessViolated = (sql: string, owner: string | null): string => {
  const violated = `when foreign_key_violation or check_violation then ${sql} not valid;`;
  const forbidden =
    owner === null
      ? ''
      : `when insufficient_privilege then set local role none; begin ${sql}; exception ${violated} end;`;
  return `do ${literal(`begin ${sql}; exception ${violated} ${forbidden} end`)}`;
};

/** pg_trigger.tgenabled: O is as made. */
const ENABLED: Readonly<Record<string, string>> = { D: 'disable', R: 'enable replica', A: 'enable always' };

const triggered = (
  definitions: Definitions,
  { table, name, definition, enabled, comment, owner }: Trigger,
): Ddl[] => {
  const change = ENABLED[enabled];
  return [
    { sql: asOwner(owner, own(definitions, definition)), what: `trigger ${name}` },
    ...(change
      ? [{ sql: asOwner(owner, `alter table ${table} ${change} trigger ${name}`), what: `trigger ${name}` }]
      : []),
    ...commented(owner, 'trigger', `${name} on ${table}`, comment),
  ];
};

/** pg_class.relreplident: the default, and an index, need nothing here. */
const REPLICA_IDENTITY: Readonly<Record<string, string>> = { n: 'nothing', f: 'full' };

const tableDetails = ({ name, owner, replicaIdentity, analyzed }: Relation): Ddl[] => {
  const identity = REPLICA_IDENTITY[replicaIdentity];
  return [
    ...(identity
      ? [{ sql: asOwner(owner, `alter table ${name} replica identity ${identity}`), what: `table ${name}` }]
      : []),
    ...(analyzed ? [{ sql: asOwner(owner, `analyze ${name}`), what: `statistics of table ${name}` }] : []),
  ];
};

const PRIVILEGES_ON = { r: 'table', p: 'table', v: 'table', S: 'sequence', c: 'type' } as const;

const relationDetails = (definitions: Definitions, relation: Relation): Ddl[] => {
  const { name, kind, owner, comment, columns } = relation;
  const word = words[kind];
  return [
    ...commented(owner, word, name, comment),
    ...columns.flatMap((column) => commented(owner, 'column', `${name}.${column.name}`, column.comment)),
    ...granted(definitions, relation, PRIVILEGES_ON[kind], name),
    ...columns.flatMap((column) => columnGrants(relation, column)),
  ];
};

const commented = (owner: string | null, word: string, name: string, comment: string | null): Ddl[] =>
  comment === null
    ? []
    : [
        {
          sql: asOwner(owner, `comment on ${word} ${name} is ${literal(comment)}`),
          what: `comment on ${word} ${name}`,
        },
      ];

/** From nothing to just those; owner, PUBLIC and others have some to begin with. */
const granted = (
  { beneficiaries }: Definitions,
  { grants, owner }: Owned,
  word: string,
  name: string,
): Ddl[] => {
  if (grants === null) return [];
  const what = `privileges of ${word} ${name}`;
  const target = `on ${word} ${name}`;
  return [
    {
      sql: asOwner(
        owner,
        `revoke all ${target} from ${['public', 'current_user', ...beneficiaries].join(', ')}`,
      ),
      what,
    },
    ...grants.map((grant) => ({ sql: asOwner(owner, grantSql(grant, grant.privilege, target)), what })),
  ];
};

const columnGrants = ({ name, owner }: Relation, column: Column): Ddl[] =>
  (column.grants ?? []).map((grant) => ({
    sql: asOwner(owner, grantSql(grant, `${grant.privilege} (${column.name})`, `on ${name}`)),
    what: `privileges of column ${column.name} of ${name}`,
  }));

const grantSql = ({ grantee, grantable }: Grant, privilege: string, target: string): string =>
  `grant ${privilege} ${target} to ${grantee}${grantable ? ' with grant option' : ''}`;
