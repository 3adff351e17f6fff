/** What the keys ask before they do something: fields, and the command that they make. */
import type { StatusResult } from '../control/api.js';
import type { Model } from './model.js';

export type Field = ChoiceField | TextField;

export interface ChoiceField {
  readonly kind: 'choice';
  readonly label: string;
  readonly options: readonly string[];
  readonly value: string;
}

export interface TextField {
  readonly kind: 'text';
  readonly label: string;
  readonly value: string;
  /** What may be typed. */
  readonly accepts: RegExp;
}

export type DialogName = 'scale' | 'patch' | 'conflict' | 'workload' | 'fault';

export interface Dialog {
  readonly name: DialogName;
  readonly title: string;
  readonly fields: readonly Field[];
  readonly focus: number;
  /** What to know before Enter is pressed. */
  readonly note: string;
}

const SIZES = ['small', 'medium', 'large', 'xlarge'] as const;
const DIGITS = /^[0-9]$/;

/** The dialog of a key, filled in with what is most likely wanted. */
export function openDialog(name: DialogName, model: Model): Dialog {
  const { title, note, fields } = forms[name](model);
  return { name, title, note, fields, focus: 0 };
}

/** What Enter does: a command of ours, or a signal to one of our processes; null: nothing, the note says why. */
export type DialogAction =
  | { readonly kind: 'command'; readonly args: readonly string[] }
  | { readonly kind: 'kill'; readonly pid: number; readonly what: string };

export function actionOf({ name, fields }: Dialog, model: Model): DialogAction | null {
  const value = (label: string): string => fields.find((field) => field.label === label)?.value ?? '';
  const command = (...args: string[]): DialogAction => ({
    kind: 'command',
    args: [...args, ...nameFlag(model.instance)],
  });
  switch (name) {
    case 'scale':
      return command('scale', '--to', value('size'), ...strategyFlag(value('strategy')));
    case 'patch':
      return value('version') === SELF
        ? command('patch', '--self')
        : command('patch', '--to', value('version'), ...strategyFlag(value('strategy')));
    case 'workload':
      return command(
        ...['workload', 'run', value('script'), '--clients', value('clients') || '1'],
        ...['--for', `${value('seconds') || '1'}s`, ...(value('tables') === 'make anew' ? ['--init'] : [])],
      );
    case 'conflict':
      return model.verbs.includes('conflict') && !hasOneWriter(model) ? command('conflict') : null;
    case 'fault':
      return killOf(value('kill'), model.status);
  }
}

/** As it is typed in a shell. */
export const commandLine = (action: DialogAction): string =>
  action.kind === 'kill' ? `kill -9 ${action.pid}` : `dbproxy ${action.args.join(' ')}`;

export const nameFlag = (instance: string): string[] => (instance === 'default' ? [] : ['--name', instance]);

const SELF = 'this build of dbproxy';
const strategyFlag = (strategy: string): string[] => (strategy === 'standby' ? [] : ['--strategy', strategy]);

interface Form {
  readonly title: string;
  readonly note: string;
  readonly fields: readonly Field[];
}

const choice = (label: string, options: readonly string[], value: string): ChoiceField => ({
  ...{ kind: 'choice', label, options },
  value: options.includes(value) ? value : (options[0] ?? ''),
});
const number = (label: string, value: string): TextField => ({ kind: 'text', label, value, accepts: DIGITS });

const forms: Readonly<Record<DialogName, (model: Model) => Form>> = {
  scale: ({ status }) => {
    const now = primaryOf(status)?.size ?? 'small';
    const next = SIZES[(SIZES.indexOf(now) + 1) % SIZES.length] ?? 'small';
    return {
      title: 'scale: move every session to an engine of another size',
      note: `the primary is ${now}; no connection is closed, no statement is lost. resize: it gets more as it runs, nothing moves`,
      fields: [choice('size', SIZES, next), choice('strategy', ['standby', 'resize'], 'standby')],
    };
  },
  patch: ({ status, versions }) => {
    const now = primaryOf(status)?.postgres ?? '';
    const major = now.split('.')[0] ?? '';
    const same = versions.filter((version) => version.startsWith(`${major}.`));
    const options = [...same.filter((version) => version !== now), SELF];
    return {
      title: 'patch: move every session to another minor version',
      note: `the primary runs ${now}; others are fetched first: dbproxy engine add VERSION`,
      fields: [
        choice('version', options, options[0] ?? SELF),
        choice('strategy', ['standby', 'in-place'], 'standby'),
      ],
    };
  },
  conflict: (model) => ({
    title: 'conflict: writers that write the same rows',
    note: hasOneWriter(model)
      ? 'this instance has one writer: dbproxy up --name other --writers 2 makes one with two'
      : 'several writers commit at once; the store decides, verdicts are among the events',
    fields: [],
  }),
  workload: ({ needsTables }) => ({
    title: "workload: load by pgbench's scripts, in a process of its own",
    note: needsTables
      ? "pgbench's tables are not there: they are made first"
      : 'the load ends with its time, with w, or with this screen',
    fields: [
      choice('script', ['tpcb-like', 'select-only', 'simple-update'], 'tpcb-like'),
      number('clients', '8'),
      number('seconds', '60'),
      choice('tables', ['as they are', 'make anew'], needsTables ? 'make anew' : 'as they are'),
    ],
  }),
  fault: ({ status }) => ({
    title: 'fault: end one of our processes as a crash would',
    note: 'the supervisor repairs it; clients of a killed engine or proxy lose their connections',
    fields: [choice('kill', faults(status), 'primary')],
  }),
};

const hasOneWriter = ({ status }: Model): boolean => status?.writers.length === 1;
const primaryOf = (status: StatusResult | null) => status?.engines.find(({ role }) => role === 'primary');

const faults = (status: StatusResult | null): string[] => [
  ...(primaryOf(status)?.pid ? ['primary'] : []),
  ...(status?.proxy ? ['proxy'] : []),
  'supervisor',
];

function killOf(what: string, status: StatusResult | null): DialogAction | null {
  const pid =
    what === 'primary'
      ? primaryOf(status)?.pid
      : what === 'proxy'
        ? status?.proxy?.pid
        : status?.supervisor.pid;
  return pid ? { kind: 'kill', pid, what } : null;
}
