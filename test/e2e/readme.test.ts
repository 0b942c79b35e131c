import { afterAll, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, cleanEnvironment } from "./binary.ts";
import { consoleBlocks, isExpected, type Step } from "./console-blocks.ts";
import { isPortFree } from "./ports.ts";
import { cleanUp, temporaryFolder, track } from "./processes.ts";

// What the README shows is what happens: its marked console blocks are run, in order, in one shell, in a copy of the
// repository, with the binary on the PATH.

afterAll(cleanUp);

const root = join(import.meta.dir, "../..");
const notCopied = new Set(["node_modules", ".git", "dist", "data"]);

/** A shell that runs one command after the other, and ends with all that it left running. */
class Shell {
  readonly #folder: string;
  readonly #child;
  readonly #output: AsyncIterator<Uint8Array>;
  #count = 0;

  constructor(folder: string, path: string) {
    this.#folder = folder;
    this.#child = track(
      Bun.spawn(["bash", "--norc"], {
        cwd: folder,
        stdin: "pipe",
        stdout: "pipe",
        stderr: "inherit",
        // A group of its own, so that what it started can be ended with it.
        detached: true,
        env: { ...cleanEnvironment(), PATH: `${path}:${process.env["PATH"]}`, HOME: folder },
      }),
    );
    this.#output = this.#child.stdout[Symbol.asyncIterator]();
  }

  /** Everything the command shows, stdout and stderr, as a terminal has it. */
  async run(command: string): Promise<string> {
    const name = join(this.#folder, `.step${++this.#count}`);
    writeFileSync(`${name}.sh`, command);
    this.#child.stdin.write(`. '${name}.sh' > '${name}.out' 2>&1 < /dev/null; echo done\n`);
    await this.#child.stdin.flush();
    const { done } = await this.#output.next();
    const output = readFileSync(`${name}.out`, "utf8");
    if (done) throw new Error(`The shell ended in ${command}: ${output}`);
    return output;
  }

  async end(): Promise<void> {
    process.kill(-this.#child.pid, "SIGKILL");
    await this.#child.exited;
  }
}

async function runBlocks(blocks: readonly (readonly Step[])[]): Promise<void> {
  const folder = join(temporaryFolder(), "kvraft");
  const path = join(folder, ".path");
  for (const name of readdirSync(root))
    if (!notCopied.has(name)) cpSync(join(root, name), join(folder, name), { recursive: true });
  mkdirSync(path);
  symlinkSync(binary, join(path, "kvraft"));
  const shell = new Shell(folder, path);
  const wrong: string[] = [];
  try {
    for (const { command, expected, line } of blocks.flat()) {
      const output = await shell.run(command);
      if (!isExpected(expected, output))
        wrong.push(`line ${line}: $ ${command}\n--- wanted\n${expected.join("\n")}\n--- found\n${output}`);
    }
  } finally {
    await shell.end();
  }
  expect(wrong.join("\n\n")).toBe("");
}

test("the commands of README.md do what it says", async () => {
  const blocks = consoleBlocks(readFileSync(join(root, "README.md"), "utf8"));
  expect(blocks.flat().length).toBeGreaterThan(0);
  // The ports of config/server1.yml to server3.yml, and of the files that the README makes.
  const taken = [5001, 5002, 5003, 5004, 5011].filter((port) => !isPortFree(port));
  expect(taken, "ports that another process listens on; stop it first").toEqual([]);
  await runBlocks(blocks);
}, 58_000);

describe("console blocks", () => {
  const blockOf = (text: string) => consoleBlocks(`<!-- test -->\n\`\`\`console\n${text}\n\`\`\`\n`);

  test("only marked ones are found, with their commands and output", () => {
    expect(consoleBlocks("```console\n$ rm -rf /\n```\n")).toEqual([]);
    expect(blockOf("$ a\nb\n\nc\n$ d \\\n> e\nf")).toEqual([
      [
        { command: "a", expected: ["b", "", "c"], line: 3 },
        { command: "d \\\ne", expected: ["f"], line: 7 },
      ],
    ]);
    expect(() => consoleBlocks("<!-- test -->\ntext\n")).toThrow("Line 2: ");
    expect(() => blockOf("b")).toThrow("Line 3: ");
  });

  test("... matches anything, and nothing else does", () => {
    expect(isExpected([], "")).toBe(true);
    expect(isExpected([], "a\n")).toBe(false);
    expect(isExpected(["a"], "")).toBe(false);
    expect(isExpected(["a"], "a\n")).toBe(true);
    expect(isExpected(["a"], "a")).toBe(true);
    expect(isExpected(["a"], "a\nb\n")).toBe(false);
    expect(isExpected(["a", "..."], "a\nb\nc\n")).toBe(true);
    expect(isExpected(["a", "...", "c"], "a\nc\n")).toBe(true);
    expect(isExpected(["a ... (c)"], "a b (c)\n")).toBe(true);
    expect(isExpected(["a ... (c)"], "a b\n(c)\n")).toBe(false);
    expect(isExpected(["a.c"], "abc\n")).toBe(false);
  });

  test("a command that prints something else is found", async () => {
    const run = (text: string) =>
      runBlocks(blockOf(text)).then(
        () => "as said",
        (error) => String(error),
      );
    expect(await run("$ x=1\n$ echo $x; kvraft get a b c 2> /dev/null || echo $?\n1\n2")).toBe("as said");
    expect(await run("$ echo 1\n2")).toContain("line 3: $ echo 1");
  }, 20_000);
});
