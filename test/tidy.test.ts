import { expect, test } from "bun:test";
import { dirname, join, normalize } from "node:path";
import { Glob } from "bun";

// The design as a test: which room may use which, which rooms hold nothing of the outside world, and that what
// nobody reads is not kept. Goal: a wrong arrow is a red test with file and line, not a matter of taste.

/** A room may import itself and the rooms listed here; nothing else. Reading it top-down is reading the design. */
const layers: Record<string, readonly string[]> = {
  lib: [],
  env: ["lib"],
  raft: ["lib"],
  rpc: ["lib", "env"],
  raftlog: ["lib", "env", "raft"],
  leveldb: ["lib", "env"],
  kv: ["lib", "leveldb"],
  config: ["lib"],
  server: ["lib", "env", "raft", "raftlog", "leveldb", "kv", "rpc", "config"],
  client: ["lib", "env", "rpc", "kv", "config"],
  backup: ["lib", "env", "raft", "raftlog", "leveldb", "kv", "config", "server"],
  cli: ["lib", "env", "raft", "raftlog", "leveldb", "kv", "rpc", "config", "server", "client", "backup"],
};

/** From these rooms only types may be imported by the ones named. */
const typesOnly: Record<string, readonly string[]> = { raftlog: ["raft"] };

/** The rooms that a simulator runs unchanged: the same calls give the same answers. */
const pure = ["lib", "raft", "kv", "leveldb"];
const impure =
  /\b(Date\.now|new Date\b|Math\.random|performance\.|setTimeout|setInterval|setImmediate|queueMicrotask|crypto\.|process\.|async |await |Promise\b|Bun\.)|from "(node|bun):/;
/** The one exception: the checksum is Bun's native one. */
const impureAllowed = new Set(["src/lib/checksum.ts"]);

/** Rooms that may touch the world: everything else goes through env. */
const worldly = ["env", "cli"];
const world =
  /\b(Bun\.|process\.|Date\.now|Math\.random|setTimeout|setInterval|setImmediate)|from "(node|bun):/;

const columnsMax = 125;
const fileLinesMax = 600;
const functionLinesMax = 80;

const files = [...new Glob("src/**/*.ts").scanSync(".")].sort();
const sources = new Map(
  await Promise.all(files.map(async (file) => [file, await Bun.file(file).text()] as const)),
);

interface Import {
  readonly target: string;
  readonly isTypeOnly: boolean;
  readonly line: number;
}

function roomOf(file: string): string {
  const parts = file.split("/");
  return parts.length > 2 ? parts[1]! : "main";
}

function importsOf(file: string): Import[] {
  const source = sources.get(file)!;
  const pattern = /^(import|export)\b(\s+type\b)?[^;"'=]*["'](\.{1,2}\/[^"']+\.ts)["']/gm;
  const imports = [...source.matchAll(pattern)].map((match) => ({
    target: normalize(join(dirname(file), match[3]!)),
    isTypeOnly: match[2] !== undefined,
    line: source.slice(0, match.index).split("\n").length,
  }));
  return imports.filter(({ target }) => target.startsWith("src/"));
}

/** The lines of a file without comments and with the contents of strings left in. */
function codeLines(file: string): string[] {
  const withoutBlocks = sources
    .get(file)!
    .replace(/\/\*[\s\S]*?\*\//g, (text) => text.replace(/[^\n]/g, " "));
  return withoutBlocks.split("\n").map((line) => line.replace(/(^|\s)\/\/.*$/, ""));
}

function findLines(rooms: readonly string[], pattern: RegExp, allowed = new Set<string>()): string[] {
  const found: string[] = [];
  for (const file of files) {
    if (!rooms.includes(roomOf(file)) || allowed.has(file)) continue;
    for (const [at, line] of codeLines(file).entries())
      if (pattern.test(line)) found.push(`${file}:${at + 1}: ${line.trim()}`);
  }
  return found;
}

test("every room is known", () => {
  const rooms = new Set(files.map(roomOf));
  rooms.delete("main");
  expect([...rooms].filter((room) => layers[room] === undefined)).toEqual([]);
});

test("imports follow the layers", () => {
  const wrong: string[] = [];
  for (const file of files) {
    const from = roomOf(file);
    if (from === "main") continue;
    for (const { target, isTypeOnly, line } of importsOf(file)) {
      const to = roomOf(target);
      if (from !== to && !layers[from]?.includes(to)) wrong.push(`${file}:${line} imports ${target}`);
      if (typesOnly[from]?.includes(to) && !isTypeOnly)
        wrong.push(`${file}:${line} imports more than types from ${target}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("no two files import each other in a circle", () => {
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    const at = path.indexOf(file);
    if (at >= 0) circles.push([...path.slice(at), file].join(" -> "));
    if (at >= 0 || done.has(file)) return;
    for (const { target } of importsOf(file)) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
  expect(circles).toEqual([]);
});

test("the pure rooms hold no clock, chance, disk, timer or promise", () => {
  expect(findLines(pure, impure, impureAllowed)).toEqual([]);
});

test("only env and cli touch the world", () => {
  const rooms = Object.keys(layers).filter((room) => !worldly.includes(room));
  expect(findLines(rooms, world, impureAllowed)).toEqual([]);
});

test("every file is used", () => {
  const used = new Set(files.flatMap((file) => importsOf(file).map(({ target }) => target)));
  // The program, the library, and what is there for simulators and tests.
  const roots = ["src/main.ts", "src/client/kv-client.ts", "src/raft/invariants.ts", "src/raft/describe.ts"];
  expect(files.filter((file) => !used.has(file) && !roots.includes(file))).toEqual([]);
});

test("every exported name is used or is public", async () => {
  const testSources = await Promise.all(
    [...new Glob("test/**/*.ts").scanSync(".")].map((file) => Bun.file(file).text()),
  );
  const all = [...sources.values(), ...testSources].join("\n");
  const unused: string[] = [];
  for (const file of files)
    for (const [, name] of sources
      .get(file)!
      .matchAll(/^export (?:abstract )?(?:class|function\*?|const|type|interface) (\w+)/gm))
      if (all.split(new RegExp(`\\b${name}\\b`)).length < 3) unused.push(`${file}: ${name}`);
  expect(unused).toEqual([]);
});

test("lines, functions and files fit a reader", () => {
  const wrong: string[] = [];
  for (const file of files) {
    const lines = sources.get(file)!.split("\n");
    if (lines.length > fileLinesMax) wrong.push(`${file} has ${lines.length} lines`);
    for (const [at, line] of lines.entries())
      if (line.length > columnsMax) wrong.push(`${file}:${at + 1} has ${line.length} columns`);
    wrong.push(...longFunctions(file, lines));
  }
  expect(wrong).toEqual([]);
});

/** Functions and methods whose end, at the indentation of their start, comes too late. Relies on the formatter. */
function longFunctions(file: string, lines: readonly string[]): string[] {
  const wrong: string[] = [];
  for (const [start, line] of lines.entries()) {
    const match = /^( *)(?:export )?(?:static )?(?:async )?(?:function\*? \w+|[#\w]+\([^)]*\)).*\{$/.exec(
      line,
    );
    if (match === null || /^\s*(if|for|while|switch|return|describe|test)\b/.test(line)) continue;
    const end = lines.findIndex((each, at) => at > start && each.startsWith(`${match[1]}}`));
    if (end - start > functionLinesMax) wrong.push(`${file}:${start + 1} is ${end - start} lines long`);
  }
  return wrong;
}

test("nothing is left open, printed or cast away", () => {
  const rooms = Object.keys(layers);
  expect(findLines(rooms, /\bFIXME\b|\bXXX\b|\bTODO\b/)).toEqual([]);
  expect(
    findLines(
      rooms.filter((room) => room !== "cli"),
      /\bconsole\./,
    ),
  ).toEqual([]);
  expect(findLines(rooms, /\bas (any|unknown as)\b|@ts-(ignore|expect-error)|^export default /)).toEqual([]);
});

test("every room says why it is as it is", async () => {
  const missing: string[] = [];
  for (const room of Object.keys(layers)) {
    if (room === "lib" || room === "env" || room === "config") continue; // Their files speak for themselves.
    if (!(await Bun.file(`src/${room}/DESIGN.md`).exists())) missing.push(`src/${room}/DESIGN.md`);
  }
  expect(missing).toEqual([]);
});
