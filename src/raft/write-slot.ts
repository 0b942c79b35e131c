import { assert } from "../lib/assert.ts";
import type { Write } from "./types.ts";

/** The one write that may be under way, and for how many ticks it is. */
export class WriteSlot {
  #current: Write | undefined;
  #ticks = 0;
  #count = 0;

  get current(): Write | undefined {
    return this.#current;
  }

  /** Of the next write to begin. */
  get nextId(): number {
    return this.#count + 1;
  }

  get ticks(): number {
    return this.#ticks;
  }

  /** Whether the disk has been at it for so long. */
  hangsFor(ticks: number): boolean {
    return this.#current !== undefined && this.#ticks >= ticks;
  }

  tick(): void {
    if (this.#current !== undefined) this.#ticks++;
  }

  begin(content: Omit<Write, "id">): Write {
    assert(this.#current === undefined, "one write is under way at a time");
    this.#current = { id: ++this.#count, ...content };
    this.#ticks = 0;
    return this.#current;
  }

  end(id: number): Write {
    const write = this.#current;
    assert(write !== undefined && write.id === id, "a write is finished once, after it was taken");
    this.#current = undefined;
    return write;
  }
}
