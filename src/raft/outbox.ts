import type { Message } from "./types.ts";

/** Messages on their way out, by what must happen first: nothing, or a write (named by its id). */
export class Outbox {
  #ready: Message[] = [];
  #held: { readonly writeId: number; readonly message: Message }[] = [];

  send(message: Message): void {
    this.#ready.push(message);
  }

  hold(writeId: number, message: Message): void {
    this.#held.push({ writeId, message });
  }

  /** What a held message of this kind says is true no more, and will not be: it never leaves. */
  forgetHeld(kind: Message["kind"]): void {
    this.#held = this.#held.filter(({ message }) => message.kind !== kind);
  }

  takeReady(): readonly Message[] {
    const taken = this.#ready;
    if (taken.length > 0) this.#ready = [];
    return taken;
  }

  /** What waited for this write, in the order it was held. */
  release(writeId: number): readonly Message[] {
    const released = this.#held.filter((held) => held.writeId <= writeId).map((held) => held.message);
    if (released.length > 0) this.#held = this.#held.filter((held) => held.writeId > writeId);
    return released;
  }
}
