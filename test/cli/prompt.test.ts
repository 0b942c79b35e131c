import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { History, historyPath } from "../../src/cli/history.ts";

const folder = mkdtempSync(join(tmpdir(), "kvraft-prompt-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A prompt on a pseudo-terminal: what it shows, and keys to press. */
class Terminal {
  #shown = "";
  #seen = 0;
  readonly #child;

  constructor(historyFile: string) {
    this.#child = Bun.spawn([process.execPath, join(import.meta.dir, "prompt-main.ts")], {
      env: { ...process.env, KVRAFT_HISTFILE: historyFile, TERM: "xterm" },
      terminal: {
        cols: 80,
        rows: 24,
        data: (_, data) => {
          this.#shown += Buffer.from(data).toString();
        },
      },
    });
  }

  press(keys: string): void {
    this.#child.terminal!.write(keys);
  }

  /** Waits until the text has been shown after what was waited for before. */
  async see(text: string): Promise<void> {
    const start = performance.now();
    for (;;) {
      const at = this.#shown.indexOf(text, this.#seen);
      if (at !== -1) {
        this.#seen = at + text.length;
        return;
      }
      if (performance.now() - start > 4_000)
        throw new Error(
          `${JSON.stringify(text)} was not shown, but ${JSON.stringify(this.#shown.slice(this.#seen))}`,
        );
      await Bun.sleep(5);
    }
  }

  async ended(): Promise<number> {
    const status = await this.#child.exited;
    this.#child.terminal!.close();
    return status;
  }
}

describe("at a terminal", () => {
  test("commands are run, told in words, completed, remembered, and Ctrl-D leaves", async () => {
    const historyFile = join(folder, "a/b/history");
    const first = new Terminal(historyFile);
    await first.see(">> ");
    first.press("put a 'hello, world'\r");
    await first.see("\r\nOK\r\n");
    await first.see(">> ");
    first.press("get a\r");
    await first.see("\r\nhello, world\r\n");
    first.press("get b\r");
    await first.see("\r\nkey not found\r\n");
    first.press("get \ufffd\r");
    await first.see('it holds bytes that are no UTF-8 text; write each as "\\xhh"');
    await first.see(">> ");
    first.press("del");
    await first.see("del");
    // Alone: a Tab among pasted text completes nothing.
    first.press("\t");
    await first.see("ete ");
    first.press("a\r");
    await first.see("\r\ndeleted\r\n");
    first.press(" put secret s\r");
    await first.see("\r\nOK\r\n");
    first.press("gte a\r");
    await first.see('kvraft: Unknown command "gte"; did you mean get?\r\n');
    await first.see(">> ");
    first.press("\x04");
    await first.see("status 0");
    expect(await first.ended()).toBe(0);
    expect(readFileSync(historyFile, "utf8")).toBe("put a 'hello, world'\nget a\nget b\ndelete a\ngte a\n");
    expect(statSync(historyFile).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, "a/b")).mode & 0o777).toBe(0o700);

    const second = new Terminal(historyFile);
    await second.see(">> ");
    second.press("\x1b[A\x1b[A\x1b[A");
    await second.see("get b");
    second.press("\r");
    await second.see("\r\nkey not found\r\n");
    second.press("exit\r");
    expect(await second.ended()).toBe(0);
  });

  test("Ctrl-C clears the line, and leaves when a request is under way", async () => {
    const terminal = new Terminal("");
    await terminal.see(">> ");
    terminal.press("put a wrong");
    await terminal.see("wrong");
    terminal.press("\x03");
    await terminal.see(">> ");
    terminal.press("get a\r");
    await terminal.see("\r\nkey not found\r\n");
    await terminal.see(">> ");
    terminal.press("\x03");
    await terminal.see("(exit or Ctrl-D leaves)\r\n");
    await terminal.see(">> ");
    terminal.press("get slow\r");
    await terminal.see("get slow\r");
    terminal.press("\x03");
    await terminal.see("left before the answer came");
    expect(await terminal.ended()).toBe(130);
  });

  test("lines that are pasted together are run one after the other", async () => {
    const terminal = new Terminal("");
    await terminal.see(">> ");
    terminal.press("put a 1\rput b 2\rget a\rget b\rexit\rput c 3\r");
    await terminal.see("\r\n1\r\n");
    await terminal.see("2\r\n");
    expect(await terminal.ended()).toBe(0);
  });
});

describe("the history", () => {
  const noWarning = (text: string) => {
    throw new Error(text);
  };

  test("is where the environment says", () => {
    const homeDir = "/home/u";
    expect(historyPath({ environment: {}, homeDir })).toBe("/home/u/.local/state/kvraft/history");
    expect(historyPath({ environment: { XDG_STATE_HOME: "/s" }, homeDir })).toBe("/s/kvraft/history");
    expect(historyPath({ environment: { KVRAFT_HISTFILE: "/h", XDG_STATE_HOME: "/s" }, homeDir })).toBe("/h");
    expect(historyPath({ environment: { KVRAFT_HISTFILE: "" }, homeDir })).toBeUndefined();
  });

  test("keeps the newest thousand lines, closed to others, and no line twice in a row", () => {
    const path = join(folder, "long");
    writeFileSync(path, Array.from({ length: 1500 }, (_, index) => `get ${index}\n`).join(""));
    chmodSync(path, 0o644);
    const history = new History(path, noWarning);
    const lines = history.load();
    expect([lines.length, lines[0], lines.at(-1)]).toEqual([1000, "get 1499", "get 500"]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    for (const line of ["get 1499", "x", "x", "", "  ", " secret", "y".repeat(5000)]) history.add(line);
    expect(readFileSync(path, "utf8").split("\n").slice(-3)).toEqual(["get 1499", "x", ""]);
  });

  test("that ends within a line, as a crash or an editor leaves it, is not glued to the next one", () => {
    const path = join(folder, "unfinished");
    writeFileSync(path, "get a\nget b");
    const history = new History(path, noWarning);
    expect(history.load()).toEqual(["get b", "get a"]);
    history.add("get c");
    expect(readFileSync(path, "utf8")).toBe("get a\nget b\nget c\n");
  });

  test("that cannot be kept is told once, and hinders nothing", () => {
    const warnings: string[] = [];
    const history = new History(join(folder, "long/below-a-file"), (text) => warnings.push(text));
    expect(history.load()).toEqual([]);
    history.add("x");
    history.add("y");
    expect(warnings.length).toBe(1);
    expect(warnings[0]).toStartWith("Cannot keep the history in ");
  });
});
