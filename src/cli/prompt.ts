import { createInterface, type Interface } from "node:readline";
import { toUtf8 } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import type { Context } from "./context.ts";
import { describeError, exitStatus } from "./exit-status.ts";
import { History, historyLinesMax, historyPath } from "./history.ts";
import { type ReplSession, verbNames } from "./repl-session.ts";

const promptText = ">> ";

/** A terminal's line is text: bytes that are none have become U+FFFD, and would become another key. */
function notText(): KvraftError {
  const text = String.raw`Cannot read the line: it holds bytes that are no UTF-8 text; write each as "\xhh"`;
  return new KvraftError("USAGE", `${text}, and the character U+FFFD as "\\xef\\xbf\\xbd"`);
}

/** The prompt at a terminal, until `exit` or Ctrl-D; an error is told and the prompt goes on. */
export function runPrompt(context: Context, session: ReplSession): Promise<number> {
  return new Promise((resolve) => new Prompt(context, session, resolve).start());
}

class Prompt {
  readonly #context: Context;
  readonly #session: ReplSession;
  readonly #leave: (status: number) => void;
  readonly #history: History;
  readonly #readline: Interface;
  /** Lines that were entered (or pasted) while one is running. */
  readonly #waiting: string[] = [];
  #isRunning = false;
  #isInputOver = false;
  #hasLeft = false;

  constructor(context: Context, session: ReplSession, leave: (status: number) => void) {
    this.#context = context;
    this.#session = session;
    this.#leave = leave;
    this.#history = new History(historyPath(context), (text) => context.stderr.write(`kvraft: ${text}\n`));
    this.#readline = createInterface({
      input: process.stdin,
      // Where stdout is a file, the prompt must not end up in it.
      output: context.stdout.isTerminal ? process.stdout : process.stderr,
      terminal: true,
      prompt: promptText,
      history: this.#history.load(),
      historySize: historyLinesMax,
      completer: completeVerb,
    });
  }

  start(): void {
    this.#readline.on("line", (line) => {
      this.#history.add(line);
      this.#waiting.push(line);
      if (!this.#isRunning) this.#runWaiting().catch((error: unknown) => this.#fail(error));
    });
    this.#readline.on("SIGINT", () => this.#interrupt());
    this.#readline.on("close", () => {
      this.#isInputOver = true;
      if (this.#isRunning || this.#hasLeft) return;
      // Ctrl-D leaves the cursor behind the prompt; what comes next belongs on a line of its own.
      this.#context.stderr.write("\n");
      this.#end(exitStatus.done);
    });
    this.#readline.prompt();
  }

  async #runWaiting(): Promise<void> {
    this.#isRunning = true;
    for (let line = this.#waiting.shift(); line !== undefined; line = this.#waiting.shift()) {
      if ((await this.#runLine(line)) === "leave") return this.#end(exitStatus.done);
    }
    this.#isRunning = false;
    if (this.#isInputOver) this.#end(exitStatus.done);
    else this.#readline.prompt();
  }

  async #runLine(line: string): Promise<"go-on" | "leave"> {
    try {
      if (line.includes("\ufffd")) throw notText();
      return await this.#session.run(toUtf8(line));
    } catch (error) {
      if (!this.#hasLeft) this.#context.stderr.write(`${describeError(error)}\n`);
      return this.#hasLeft ? "leave" : "go-on";
    }
  }

  /** Ctrl-C clears the line. While a request runs, which nobody can take back, it leaves without the answer. */
  #interrupt(): void {
    if (this.#isRunning) {
      this.#context.stderr.write("kvraft: left before the answer came\n");
      this.#end(exitStatus.interrupted);
      return;
    }
    if (this.#readline.line === "") this.#context.stderr.write("\n(exit or Ctrl-D leaves)\n");
    this.#readline.write(null, { ctrl: true, name: "e" });
    this.#readline.write(null, { ctrl: true, name: "u" });
    this.#readline.prompt();
  }

  #fail(error: unknown): void {
    this.#context.stderr.write(`${describeError(error)}\n`);
    this.#end(exitStatus.fault);
  }

  #end(status: number): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    this.#readline.close();
    this.#leave(status);
  }
}

/** Tab: the commands that begin like the first word, or like the word after help. */
export function completeVerb(line: string): [string[], string] {
  const [, start = "", word] = /^(\s*help\s+|\s*)(\S*)$/.exec(line) ?? [];
  if (word === undefined) return [[], line];
  return [verbNames.filter((name) => name.startsWith(word)).map((name) => `${start}${name} `), line];
}
