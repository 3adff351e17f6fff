/** The part of @pnpm/npm-conf that is used here; it comes without types. */
declare module '@pnpm/npm-conf' {
  interface NpmConf {
    readonly config: {
      get(key: string): unknown;
      /** Every setting, the sources merged. */
      readonly snapshot: Record<string, unknown>;
    };
  }
  const npmConf: {
    (options?: { global?: boolean }): NpmConf;
    /** What npm does without any setting of the user's. */
    readonly defaults: { readonly registry: string };
  };
  export default npmConf;
}
