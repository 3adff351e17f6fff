/** The sizes by name, smallest first; `sizes.ts` says what each sets. Outside of every wall, as whoever reads a size needs them. */
export const SIZE_NAMES = ['small', 'medium', 'large', 'xlarge'] as const;
export type SizeName = (typeof SIZE_NAMES)[number];
