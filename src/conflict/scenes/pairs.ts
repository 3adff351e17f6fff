/** Two clients on two writers, who both have written before either commits: of two that exclude each other one can stay. */
import { DbproxyError } from '../../errors/index.js';
import { barrier, WriterClient, type Statement, type Ended } from '../clients.js';
import { SCHEMA } from '../tables.js';
import { everywhere, inWords, prepare, type Scene, type SceneContext } from './scene.js';

const EMAILS = `${SCHEMA}.accounts`;
const PARENTS = `${SCHEMA}.parents`;
const CHILDREN = `${SCHEMA}.children`;

/** Both insert the same value of a unique index. */
export const uniqueKey: Scene = async (context) => {
  await prepare(context, [`delete from ${EMAILS}`], { sql: `select count(*) from ${EMAILS}`, equals: '0' });
  const insert = { sql: `insert into ${EMAILS} values (gen_random_uuid(), 'ada@example.org')` };
  const ends = await together(context, [insert], [insert]);
  const acknowledged = ends.filter(({ outcome }) => outcome === 'committed').length;
  const found = await everywhere(context, `select count(*) from ${EMAILS}`, '1');
  return {
    about: 'two clients on two writers insert the same e-mail address, which has a unique index',
    expected: 'one row, and one of two was told so',
    found: `${inWords(context, found)}, ${acknowledged} acknowledged`,
    ok: acknowledged === 1 && found.every((one) => one === '1'),
    lost: found.some((one) => one === '0') ? acknowledged : 0,
  };
};

/** One deletes a row while the other one refers to it. */
export const foreignKey: Scene = async (context) => {
  await prepare(
    context,
    [`delete from ${CHILDREN}`, `insert into ${PARENTS} values (1) on conflict do nothing`],
    {
      sql: `select (select count(*) from ${PARENTS} where id = 1) || '/' || (select count(*) from ${CHILDREN})`,
      equals: '1/0',
    },
  );
  const refer = { sql: `insert into ${CHILDREN} values (gen_random_uuid(), 1)` };
  const remove = { sql: `delete from ${PARENTS} where id = 1` };
  const [referred, removed] = await together(context, [refer], [remove]);
  const children = referred.outcome === 'committed' ? 1 : 0;
  const parents = removed.outcome === 'committed' ? 0 : 1;
  const expected = familyOf(parents, children);
  const found = await everywhere(
    context,
    `select format('%s parent%s, %s %s', p, case p when 1 then '' else 's' end, c, case c when 1 then 'child' else 'children' end)
       from (select count(*) from ${PARENTS} where id = 1) as parents(p), (select count(*) from ${CHILDREN}) as children(c)`,
    expected,
  );
  const both = referred.outcome === 'committed' && removed.outcome === 'committed';
  return {
    about: 'one client refers to a row by a foreign key, another one on another writer deletes it',
    expected: `no child without its parent: ${expected}`,
    found: inWords(context, found),
    ok: !both && found.every((one) => one === expected),
    lost: found.some((one) => one.endsWith(', 0 children')) && children === 1 ? 1 : 0,
  };
};

const familyOf = (parents: number, children: number): string =>
  `${parents} parent${parents === 1 ? '' : 's'}, ${children} ${children === 1 ? 'child' : 'children'}`;

/** The first one's transaction is on the first writer, the second one's on the last. Both come to COMMIT, then both commit. */
export async function together(
  { writers, tally, gone }: SceneContext,
  first: readonly Statement[],
  second: readonly Statement[],
): Promise<[Ended, Ended]> {
  const [one, other] = [writers[0], writers.at(-1)];
  if (!one || !other) throw new DbproxyError('DBP_INTERNAL', { reason: 'there are no writers' });
  const open = (writer: typeof one): Promise<WriterClient> => WriterClient.open(writer, tally, gone);
  const clients = await Promise.all([open(one), open(other)]);
  const meet = barrier(2);
  try {
    return await Promise.all([
      clients[0].attempt(first, meet('first')),
      clients[1].attempt(second, meet('second')),
    ]);
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
}
