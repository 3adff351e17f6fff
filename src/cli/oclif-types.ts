/** The types of the command framework that we use, from its subpath: its main entry loads everything. */
export type * as Interfaces from '@oclif/core/interfaces';
