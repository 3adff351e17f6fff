/**
 * Settings that change what a definition means, or what it computes: how its literals are read, how values become texts. They go along with
 * it (computed.ts) and count for it alone where it is applied (apply.ts).
 *
 * Not: what roles are about, which go along as they are; tablespaces and compression, which are each engine's own; `client_encoding`, since the
 * text is in that of the server by then; `standard_conforming_strings`, which is refused where it would matter (ddl.ts).
 */
export const MEANING: readonly string[] = [
  'array_nulls',
  'backslash_quote',
  'bytea_output',
  'datestyle',
  'default_table_access_method',
  'default_text_search_config',
  'extra_float_digits',
  // From PostgreSQL 16 on.
  'icu_validation_level',
  'intervalstyle',
  'lc_monetary',
  'lc_numeric',
  'lc_time',
  'timezone',
  'timezone_abbreviations',
  'transform_null_equals',
  'xmlbinary',
  'xmloption',
];
