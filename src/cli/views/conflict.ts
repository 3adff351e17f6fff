/** `conflict` for people: each scene with the verdict that shows best what happened, and the balance at the end. */
import type { ConflictResult, SceneResult } from '../../conflict/index.js';
import type { JudgedTransaction, Verdict } from '../../control/api.js';
import { clip, count, duration, plural } from '../format.js';
import type { Style } from '../style.js';
import { facts } from '../table.js';

const WIDTH = 110;

export function conflictView(result: ConflictResult, style: Style): string {
  const { lostUpdates, diverged, divergedTables, commitMs } = result;
  const sound = lostUpdates === 0 && !diverged && result.scenes.every(({ ok }) => ok);
  const head = `${sound ? style.ok : style.fail} ${style.strong(result.instance)}  ${plural(result.writers.length, 'writer')}, ${plural(result.committed, 'commit')}, ${plural(result.conflicts, 'conflict')}`;
  const balance = facts(
    [
      ['lost updates', lostUpdates === 0 ? style.good('0') : style.bad(String(lostUpdates))],
      ['diverged', diverged ? style.bad(`yes: ${divergedTables.join(', ')}`) : style.good('no')],
      [
        'transactions',
        `${result.transactions}, of which ${result.committed} committed; ${result.retries} tried again`,
      ],
      ['verdicts', verdictsInWords(result)],
      ['commit', `p50 ${duration(commitMs.p50)}, p99 ${duration(commitMs.p99)}`],
    ],
    style,
  );
  return [...result.scenes.map((scene) => sceneView(scene, style)), `${head}\n\n${balance}`].join('\n\n');
}

/** Of the primary, whose votes may have been split, or of etcd. */
function verdictsInWords({ adjudicated, splitVotes, verdicts }: ConflictResult): string {
  if (adjudicated === 0) return 'none: nobody had to be asked';
  const judges = [...new Set(verdicts.map(({ primary }) => primary))].join(', ');
  const split = splitVotes === 0 ? '' : `, ${plural(splitVotes, 'split vote')}`;
  return `${count(adjudicated)} by ${judges}${split}`;
}

function sceneView(scene: SceneResult, style: Style): string {
  const { about, expected, found, ok, committed, conflicts, clientSaw } = scene;
  const lines = [
    `${style.strong(scene.scene)}  ${about}`,
    `  ${ok ? style.ok : style.fail} ${found}  ${style.dim(`(${expected}; ${plural(committed, 'commit')}, ${plural(conflicts, 'conflict')})`)}`,
  ];
  const verdict =
    scene.verdicts.find(({ split }) => split) ??
    scene.verdicts.find(({ transactions }) => transactions.length > 1) ??
    scene.verdicts[0];
  if (verdict) lines.push(...verdictLines(verdict, style));
  if (clientSaw) {
    lines.push(
      `  ${style.dim('its client saw')}  ${style.warn(clientSaw.sqlstate)} ${clip(clientSaw.message, WIDTH)}`,
    );
    if (clientSaw.detail !== '') lines.push(`                  ${style.dim(clip(clientSaw.detail, WIDTH))}`);
  }
  return lines.join('\n');
}

export function verdictLines(verdict: Verdict, style: Style): string[] {
  const { primary, epoch, slot, transactions, split } = verdict;
  const votes = split ? ', the votes were split' : '';
  return [
    `  ${style.dim('verdict')} ${style.accent(`${slot}`)} ${style.dim(`by ${primary}, epoch ${epoch}${votes}`)}`,
    ...transactions.map((one) => transactionLine(one, style)),
  ];
}

function transactionLine(one: JudgedTransaction, style: Style): string {
  const { writer, lsn, outcome, reason, accepted, heard, about } = one;
  const votes = heard
    .map((node) => (accepted.includes(node) ? style.good(`${node}✔`) : style.bad(`${node}✖`)))
    .join(' ');
  const end = outcome === 'commit' ? style.good('commits') : style.bad('aborts');
  const what = about === null ? '' : style.dim(`  ${clip(about, 50)}`);
  return `    ${writer} ${lsn}  ${votes}  ${end}: ${reason}${what}`;
}
