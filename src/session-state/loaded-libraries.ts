/** Row 15: libraries of LOAD; recognised by the command's tag, not moved yet. */
import type { StateKindModule } from './kind.js';

export const loadedLibraries: StateKindModule<boolean> = {
  none: false,

  *read({ tracker }) {
    return tracker.loaded;
  },
  summarize: (loaded) => (loaded ? { count: 1, detail: 'a library loaded with LOAD' } : null),
  replay: null,
};
