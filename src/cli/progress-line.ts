import type { Output } from "./context.ts";

/** How often the line is written anew, in ms. */
const everyMs = 100;

/** One line that changes while something takes long. On anything but a terminal it says nothing. */
export class ProgressLine {
  readonly #output: Output;
  #isShown = false;
  #nextMs = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  /** Shows the text, unless the last one was shown just now. It is made only when it is shown. */
  show(text: () => string): void {
    const nowMs = performance.now();
    if (!this.#output.isTerminal || nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + everyMs;
    this.#isShown = true;
    this.#output.write(`\r\x1b[K${text()}`);
  }

  /** Takes the line away: what comes next begins where it began. */
  clear(): void {
    if (this.#isShown) this.#output.write("\r\x1b[K");
    this.#isShown = false;
  }
}
