/** A connection whose memory is counted. */
export interface Holder {
  /** Memory that it takes now: of unfinished frames, and of what waits to be read by the other side. */
  readonly heldBytes: number;
  terminate(closing: { readonly cause: "full"; readonly text: string }): void;
}

/**
 * The memory that is held for many connections together. Each has bounds of its own, and their product is large: so when
 * all of them hold more than `bytesMax`, those that hold the most are cut off, until there is an eighth to spare.
 */
export class HeldBytes {
  /** For people: "clients". */
  readonly #whose: string;
  readonly #bytesMax: number;
  readonly #cut: () => void;
  readonly #holders = new Set<Holder>();
  #bytes = 0;
  /** Bytes that were let go of since `takeFreed`. */
  #freedBytes = 0;

  /** `cut` is told after some were cut off. */
  constructor(whose: string, bytesMax: number, cut: () => void = () => {}) {
    this.#whose = whose;
    this.#cut = cut;
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(holder: Holder): void {
    this.#holders.add(holder);
  }

  /** The connection is gone; it has told before that it holds nothing. */
  delete(holder: Holder): void {
    this.#holders.delete(holder);
  }

  /** A connection holds so much more, or less, than it told last. */
  changed(bytes: number): void {
    this.#bytes += bytes;
    if (bytes < 0) this.#freedBytes -= bytes;
    else if (this.#bytes > this.#bytesMax) this.#cutOff();
  }

  /** Bytes that were let go of since the last call: the system's memory of them may be anybody's by now. */
  takeFreed(): number {
    const freed = this.#freedBytes;
    this.#freedBytes = 0;
    return freed;
  }

  #cutOff(): void {
    const largest = [...this.#holders].sort((a, b) => b.heldBytes - a.heldBytes);
    for (const holder of largest) {
      if (this.#bytes <= (this.#bytesMax * 7) / 8) break;
      const held = holder.heldBytes;
      holder.terminate({
        cause: "full",
        text: `${this.#whose} hold more than ${this.#bytesMax} bytes together, and this one ${held} of them`,
      });
    }
    this.#cut();
  }
}
