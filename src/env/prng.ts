/** Chance as an integer stream that replays from its seed (sfc32). One stream per component: see `fork`. */
export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** `seed` is any safe integer; equal seeds give equal streams. */
  constructor(seed: number) {
    this.#a = seed >>> 0;
    this.#b = Math.floor(Math.abs(seed) / 0x1_0000_0000) >>> 0;
    this.#c = 0x9e3779b9;
    for (let round = 0; round < 12; round++) this.u32();
  }

  u32(): number {
    const sum = (((this.#a + this.#b) >>> 0) + this.#counter) >>> 0;
    this.#counter = (this.#counter + 1) >>> 0;
    this.#a = (this.#b ^ (this.#b >>> 9)) >>> 0;
    this.#b = (this.#c + (this.#c << 3)) >>> 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) >>> 0;
    return sum;
  }

  /** A whole number in [min, max], both included, each as likely. */
  int(min: number, max: number): number {
    const span = max - min + 1;
    const limit = Math.floor(0x1_0000_0000 / span) * span;
    for (;;) {
      const drawn = this.u32();
      if (drawn < limit) return min + (drawn % span);
    }
  }

  /** True in `numerator` of `denominator` cases. */
  chance(numerator: number, denominator: number): boolean {
    return this.int(1, denominator) <= numerator;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(0, items.length - 1)]!;
  }

  /** A stream of its own, so that one component that draws more does not reshuffle the rest. */
  fork(): Prng {
    return new Prng(this.u32() + (this.u32() & 0x1f_ffff) * 0x1_0000_0000);
  }
}
