/** The component that ink runs: keys go to the store, and what the store shows goes to the screen. */
import { useInput, type Key as InkKey } from 'ink';
import { useEffect, useLayoutEffect, useState, useSyncExternalStore } from 'react';
import type { Key } from './keyboard.js';
import type { Paint } from './paint.js';
import type { Screen } from './screen.js';
import type { Store } from './store.js';
import { frame } from './views/frame.js';

interface Properties {
  readonly store: Store;
  readonly screen: Screen;
  readonly paint: Paint;
}

export function App({ store, screen, paint }: Properties): null {
  const model = useSyncExternalStore(store.subscribe, store.shown);
  const [size, setSize] = useState(screen.size);
  useEffect(
    () =>
      screen.onResize(() => {
        screen.forget();
        setSize(screen.size);
      }),
    [screen],
  );
  useInput((text, key) => keysOf(text, key).forEach(store.press));
  useLayoutEffect(() => screen.draw(frame(model, size).map((line) => paint(line, size.columns))));
  return null;
}

/** What is typed faster than it is read comes as one text, with the keys in it that have characters of their own. */
function keysOf(text: string, key: InkKey): Key[] {
  const name = nameOf(key);
  if (name !== null || key.ctrl) return [{ text: key.ctrl ? text : '', name, ctrl: key.ctrl }];
  return key.meta ? [] : [...text].map(keyOf);
}

function keyOf(character: string): Key {
  const name = CHARACTERS[character] ?? null;
  if (name !== null) return { text: '', name, ctrl: false };
  // Ctrl-A is 1, and so on.
  if (character < ' ') return { text: String.fromCharCode(character.charCodeAt(0) + 96), name, ctrl: true };
  return { text: character, name, ctrl: false };
}

const CHARACTERS: Readonly<Record<string, Key['name']>> = {
  '\r': 'enter',
  '\n': 'enter',
  '\t': 'tab',
  '\b': 'backspace',
  '\u007f': 'backspace',
  '\u001b': 'escape',
};

function nameOf(key: InkKey): Key['name'] {
  if (key.upArrow) return 'up';
  if (key.downArrow) return 'down';
  if (key.leftArrow) return 'left';
  if (key.rightArrow) return 'right';
  if (key.pageUp) return 'pageup';
  if (key.pageDown) return 'pagedown';
  if (key.home) return 'home';
  if (key.end) return 'end';
  if (key.return) return 'enter';
  if (key.escape) return 'escape';
  if (key.tab) return 'tab';
  // Most terminals send for Backspace what ink calls delete.
  return key.backspace || key.delete ? 'backspace' : null;
}
