/** `dbproxy conflict`: real conflicts between the writers of an instance, and what became of them. */
import { integer, string } from '@oclif/core/flags';
import { SCENE_NAMES, type ConflictResult, type SceneName } from '../conflict/types.js';
import { InstanceCommand } from '../cli/instance-command.js';
import { conflictView } from '../cli/views/conflict.js';
import { DbproxyError, type ExitCode } from '../errors/index.js';

export default class Conflict extends InstanceCommand<typeof Conflict, ConflictResult> {
  static override summary = 'make writers write the same rows at once, and see who wins and why';
  static override description =
    'Needs an instance with several writers: `up --writers 2`. Shows who proposed, which storage nodes voted, whom the primary let ' +
    'go first, and what the client that lost was told. Tables are made in schema dbproxy_conflict; with --table a row of your own is ' +
    'fought over, by updates that change nothing. Exit code 3 when an acknowledged commit is missing, or writers hold different rows.';
  static override examples = [
    '<%= config.bin %> conflict --name shop',
    '<%= config.bin %> conflict --name shop --only hot-row --clients 8',
    '<%= config.bin %> conflict --name shop --table accounts --key 1',
    '<%= config.bin %> conflict --name shop --json',
  ];
  static override flags = {
    only: string({ options: [...SCENE_NAMES], multiple: true, description: 'only this kind of conflict' }),
    clients: integer({
      char: 'c',
      min: 2,
      max: 200,
      description: 'clients of the hot row, over all writers (2 for each)',
    }),
    rounds: integer({
      min: 1,
      max: 10_000,
      default: 10,
      description: 'commits that each of them is to come to',
    }),
    table: string({ dependsOn: ['key'], description: 'a table with a primary key', helpValue: 'TABLE' }),
    key: string({
      dependsOn: ['table'],
      helpValue: 'VALUE',
      description: 'its row; with several columns, values divided by commas',
    }),
  };

  protected override async execute(): Promise<ConflictResult> {
    const { only, clients, rounds, table, key } = this.flags;
    if (table !== undefined && only !== undefined)
      throw new DbproxyError('DBP_USAGE', { reason: '--table is fought over as hot-row: without --only' });
    this.out.step('conflict', this.instance);
    const { runConflict } = await import('../conflict/index.js');
    return runConflict(this.instance, {
      rounds,
      ...(only === undefined ? {} : { scenes: only as SceneName[] }),
      ...(clients === undefined ? {} : { clients }),
      ...(table === undefined ? {} : { table }),
      ...(key === undefined ? {} : { key }),
      signal: this.signal,
      onProgress: ({ step, detail }) => this.out.step(step, detail),
    });
  }

  protected override show(result: ConflictResult): void {
    this.out.data(conflictView(result, this.out.style));
  }

  protected override exitCodeOf({ lostUpdates, diverged, scenes }: ConflictResult): ExitCode {
    return lostUpdates === 0 && !diverged && scenes.every(({ ok }) => ok) ? 0 : 3;
  }

  protected override endsItself(): boolean {
    return true;
  }

  protected override afterInterruption(): string {
    return 'finishing what is in flight';
  }
}
