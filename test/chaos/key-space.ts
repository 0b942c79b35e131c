import type { Prng } from "../../src/env/prng.ts";

/** What a client asks for. */
export interface Asked {
  readonly operation: "put" | "get" | "delete";
  readonly key: string;
  /** For puts. */
  readonly value?: string;
  /** Nobody but this client puts this key, and nobody deletes it: its versions can be counted. */
  readonly isOwn: boolean;
}

/**
 * After this the clients move on to new keys: checking the history of a key costs more than in proportion to its length.
 * The old keys stay, and are read once more at the end.
 */
const generationMs = 20_000;

const hotKeyCount = 3;
const wideKeyCount = 100;
const ownKeyCount = 3;

/** Draws what clients ask for: half of it over a few keys that all fight for, the rest over many, and over their own. */
export class KeySpace {
  readonly #startMs = performance.now();
  readonly #clientCount: number;

  constructor(clientCount: number) {
    this.#clientCount = clientCount;
  }

  /** `newValue` is called for a put, and yields what nobody else ever puts. */
  draw(client: number, prng: Prng, newValue: () => string): Asked {
    const kind = prng.int(1, 100);
    if (kind > 75) return this.#drawOwn(client, prng, newValue);
    const key =
      kind <= 50 ? prng.pick(this.hotKeys) : `g${this.#generation}/wide/${prng.int(1, wideKeyCount)}`;
    const what = prng.int(1, 100);
    if (what <= 45) return { operation: "get", key, isOwn: false };
    if (what <= 57) return { operation: "delete", key, isOwn: false };
    return { operation: "put", key, value: newValue(), isOwn: false };
  }

  /** The keys that all fight for. */
  get hotKeys(): string[] {
    const generation = this.#generation;
    return Array.from({ length: hotKeyCount }, (_, place) => `g${generation}/hot/${place + 1}`);
  }

  get #generation(): number {
    return Math.floor((performance.now() - this.#startMs) / generationMs);
  }

  #drawOwn(client: number, prng: Prng, newValue: () => string): Asked {
    const generation = this.#generation;
    const place = prng.int(1, ownKeyCount);
    if (prng.chance(2, 3)) {
      const key = ownKey(generation, client, place);
      return { operation: "put", key, value: newValue(), isOwn: true };
    }
    const owner = prng.int(0, this.#clientCount - 1);
    return { operation: "get", key: ownKey(generation, owner, place), isOwn: true };
  }
}

function ownKey(generation: number, client: number, place: number): string {
  return `g${generation}/own/c${client + 1}/${place}`;
}
