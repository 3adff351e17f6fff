/** What a step of a state machine asks for. The records have to be on disk before anything is sent. */
export interface Output<Record, Send> {
  readonly records: readonly Record[];
  readonly sends: readonly Send[];
}
