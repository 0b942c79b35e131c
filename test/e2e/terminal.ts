import { binary, cleanEnvironment, codeOf } from "./binary.ts";
import { track } from "./processes.ts";
import { until } from "./wait.ts";

/** The binary on a pseudo-terminal: what it shows, and keys to press. */
export class Terminal {
  #shown = "";
  #seen = 0;
  readonly #child;

  constructor(args: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}) {
    this.#child = track(
      Bun.spawn([binary, ...args], {
        cwd,
        env: cleanEnvironment({ TERM: "xterm", ...env }),
        terminal: {
          cols: 120,
          rows: 40,
          data: (_, data) => {
            this.#shown += Buffer.from(data).toString();
          },
        },
      }),
    );
  }

  get pid(): number {
    return this.#child.pid;
  }

  press(keys: string): void {
    this.#child.terminal!.write(keys);
  }

  kill(signal: "SIGKILL" | "SIGTERM" | "SIGHUP"): void {
    this.#child.kill(signal);
  }

  /** The terminal closes, as a window does. */
  hangUp(): void {
    this.#child.terminal!.close();
  }

  /** Waits until the text has been shown after what was waited for before. */
  async see(text: string, timeoutMs = 15_000): Promise<void> {
    this.#seen = await until(
      JSON.stringify(text),
      () => {
        const at = this.#shown.indexOf(text, this.#seen);
        return at !== -1 && at + text.length;
      },
      timeoutMs,
      () => JSON.stringify(this.#shown.slice(this.#seen)),
    );
  }

  async ended(): Promise<number> {
    await this.#child.exited;
    this.#child.terminal!.close();
    return codeOf(this.#child);
  }
}
