/**
 * Fault injection for tests (`npm run mutants`): `DBPROXY_TEST_WITHOUT_REPLAY=settings` leaves out the replay of that kind, which
 * every test that claims to show that the kind moves has to notice. Read once; without it nothing is different.
 */
const leftOut = process.env['DBPROXY_TEST_WITHOUT_REPLAY'];

export const isLeftOut = (name: string): boolean => name === leftOut;

/** `modules`, of which the one left out does nothing at replay, and says that it did. */
export const withoutReplay = <T extends Readonly<Record<string, object>>>(modules: T): T =>
  leftOut !== undefined && leftOut in modules
    ? { ...modules, [leftOut]: { ...modules[leftOut], replay: () => [] } }
    : modules;
