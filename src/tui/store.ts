/** Keeps the model, takes messages and keys, and tells the screen when there is something new: at most every `QUIET_MS`. */
import { press, type Effect, type Key } from './keyboard.js';
import { update, type Message, type Model } from './model.js';

/** A burst of events makes one frame, ms. */
const QUIET_MS = 40;

export class Store {
  #model: Model;
  #shown: Model;
  #timer: NodeJS.Timeout | null = null;
  readonly #listeners = new Set<() => void>();
  readonly #carryOut: (effect: Effect) => void;

  constructor(model: Model, carryOut: (effect: Effect) => void) {
    this.#model = model;
    this.#shown = model;
    this.#carryOut = carryOut;
  }

  /** As of now. */
  get model(): Model {
    return this.#model;
  }

  /** As of the last frame. */
  readonly shown = (): Model => this.#shown;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly tell = (message: Message): void => {
    this.#model = update(this.#model, message);
    this.#timer ??= setTimeout(() => this.#show(), QUIET_MS);
  };

  /** A key is answered at once. */
  readonly press = (key: Key): void => {
    const { model, effects } = press(this.#model, key);
    this.#model = model;
    this.#show();
    effects.forEach((effect) => this.#carryOut(effect));
  };

  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#listeners.clear();
  }

  #show(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#shown = this.#model;
    this.#listeners.forEach((listener) => listener());
  }
}
