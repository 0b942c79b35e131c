import { appendFileSync, chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf } from "../lib/error.ts";
import type { Context } from "./context.ts";

/** Lines that are kept between runs; a longer file is cut to the newest at the next start. */
export const historyLinesMax = 1_000;

/** Longer lines hold data, not something to be typed again. */
const lineLengthMax = 4_096;

/**
 * The prompt's history: a file of lines, oldest first, that only its user may read. It is a comfort: a failure is told
 * once and never ends the prompt.
 */
export class History {
  readonly #path: string | undefined;
  readonly #warn: (text: string) => void;
  #last: string | undefined;
  #isBroken = false;

  /** `path` undefined keeps nothing. */
  constructor(path: string | undefined, warn: (text: string) => void) {
    this.#path = path;
    this.#warn = warn;
  }

  /** The lines of earlier runs, newest first, as readline wants them. */
  load(): string[] {
    const path = this.#path;
    if (path === undefined) return [];
    const text = this.#attempt(path, () => readText(path)) ?? "";
    const lines = text.split("\n").filter(isKept);
    // The next line would go on with one that was left unfinished.
    const isUnfinished = text !== "" && !text.endsWith("\n");
    if (lines.length > historyLinesMax || isUnfinished) {
      lines.splice(0, Math.max(0, lines.length - historyLinesMax));
      this.#attempt(path, () => replace(path, lines));
    }
    this.#last = lines.at(-1);
    return lines.reverse();
  }

  /** Keeps a line at once, so that prompts that run side by side lose nothing of each other. */
  add(line: string): void {
    const path = this.#path;
    // A line that begins with a space is kept nowhere, as in shells: it may hold a secret.
    if (path === undefined || line === this.#last || !isKept(line)) return;
    this.#last = line;
    this.#attempt(path, () => {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      appendFileSync(path, `${line}\n`, { mode: 0o600 });
    });
  }

  #attempt<T>(path: string, run: () => T): T | undefined {
    if (this.#isBroken) return undefined;
    try {
      return run();
    } catch (error) {
      this.#isBroken = true;
      this.#warn(`Cannot keep the history in ${JSON.stringify(path)}: ${messageOf(error)}`);
      return undefined;
    }
  }
}

/** True for a line that a history holds. */
export function isKept(line: string): boolean {
  // What was no UTF-8 text is another line already.
  const isText = !line.includes("\n") && !line.includes("\ufffd");
  return line.trim() !== "" && !line.startsWith(" ") && line.length <= lineLengthMax && isText;
}

/**
 * $KVRAFT_HISTFILE, or kvraft/history below $XDG_STATE_HOME or ~/.local/state. An empty $KVRAFT_HISTFILE: none. None
 * either when the path is no UTF-8 text: it would be another one.
 */
export function historyPath(context: Pick<Context, "environment" | "homeDir">): string | undefined {
  const path = wantedPath(context);
  return path?.includes("\ufffd") ? undefined : path;
}

function wantedPath(context: Pick<Context, "environment" | "homeDir">): string | undefined {
  const chosen = context.environment.KVRAFT_HISTFILE;
  if (chosen !== undefined) return chosen === "" ? undefined : chosen;
  const stateDir = context.environment.XDG_STATE_HOME || `${context.homeDir}/.local/state`;
  return `${stateDir}/kvraft/history`;
}

/** Empty when there is no file. */
function readText(path: string): string {
  try {
    const text = readFileSync(path, "utf8");
    // A file from elsewhere may be open to others.
    chmodSync(path, 0o600);
    return text;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  }
}

function replace(path: string, lines: readonly string[]): void {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, lines.map((line) => `${line}\n`).join(""), { mode: 0o600 });
  renameSync(temporary, path);
}
