/** `2026-11-24 16:30:05 UTC`: a report is read elsewhere, and later. */
export const moment = (epochMs: number): string =>
  `${new Date(epochMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
