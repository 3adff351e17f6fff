/** How many more files this process can open: a socket that comes when there is no descriptor left for it is lost. */
import { readFileSync, readdirSync } from 'node:fs';

/** Kept free for what else a proxy opens: control connections, logins, timers. */
const RESERVE = 64;

/** Infinity where the system does not tell (only Linux has /proc). */
export const freeDescriptors = (): number => {
  try {
    // proc(5): "Max open files            1024                 524288               files"
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
    if (soft === undefined) return Infinity;
    return Math.max(0, Number(soft) - readdirSync('/proc/self/fd').length - RESERVE);
  } catch {
    return Infinity;
  }
};
