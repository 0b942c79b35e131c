/** What people type: lines of the prompt, arguments, addresses, durations, and the file of the history. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseCommandLine } from "../../src/cli/args.ts";
import { commands } from "../../src/cli/commands.ts";
import { parseEndpointList } from "../../src/cli/endpoints.ts";
import { History, historyLinesMax, isKept } from "../../src/cli/history.ts";
import { completeVerb } from "../../src/cli/prompt.ts";
import { quoteWord, showBytes, splitWords } from "../../src/cli/quoting.ts";
import { ReplSession } from "../../src/cli/repl-session.ts";
import { suggest } from "../../src/config/suggest.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../src/config/units.ts";
import type { Prng } from "../../src/env/prng.ts";
import { formatAddress, isHost, parseAddress } from "../../src/lib/address.ts";
import { type Bytes, concatBytes, fromUtf8, toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { World } from "../cli/world.ts";
import { bytesTarget, ensure, ensureEqual, type FuzzTarget, withinMemory } from "./fuzzer.ts";
import { mutate, randomBytes, randomNumber, randomText } from "./mutate.ts";
import { scratchFolder } from "./scratch.ts";

/** Moves of the cursor, marks that turn the direction, ends of lines: none of them reaches a terminal. */
const unshowable = /[\p{Cc}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u;

// ---- quoting ----

const special = toUtf8(" \"'\\\n\r\tx0nü\u202e\ufeff");

function drawLine(prng: Prng): Bytes {
  const word = (): Bytes =>
    Uint8Array.from({ length: prng.int(0, 14) }, () =>
      prng.chance(1, 2) ? prng.pick([...special]) : prng.int(0, 255),
    );
  const words = Array.from({ length: prng.int(0, 5) }, word);
  const line = toUtf8(words.map(quoteWord).join(" "));
  if (prng.chance(1, 40)) return randomBytes(prng, 20_000);
  return prng.chance(1, 2) ? line : mutate(prng, line);
}

export const quotingTarget = bytesTarget("quoting", drawLine, (line) => {
  withinMemory(line.length * 4, () => {
    const split = splitWords(line);
    if (split.ok) {
      ensure(concatBytes(split.words).length <= line.length, "words come from the line");
      const again = splitWords(toUtf8(split.words.map(quoteWord).join(" ")));
      ensure(again.ok, "quoted words can be split");
      ensureEqual(
        again.words.map(toHex),
        split.words.map(toHex),
        "words that are quoted are split as they were",
      );
    }
    // Any bytes are a word as well.
    const whole = splitWords(toUtf8(quoteWord(line)));
    ensureEqual(
      whole.ok ? whole.words.map(toHex) : whole.problem,
      [toHex(line)],
      "a word is quoted and split",
    );
  });
  ensure(!unshowable.test(quoteWord(line)), "what is quoted cannot control a terminal");
  const shown = showBytes(line);
  ensure(!unshowable.test(shown), "what is shown cannot control a terminal");
  const isPlain = toHex(toUtf8(shown)) === toHex(line);
  const reread = splitWords(toUtf8(shown));
  ensure(
    isPlain || (reread.ok && reread.words.length === 1 && toHex(reread.words[0]!) === toHex(line)),
    "bytes are shown as they are, or quoted so that they can be typed",
  );
});

// ---- addresses, units ----

const addressParts = [
  "127.0.0.1",
  "::1",
  "[",
  "]",
  ":",
  "5001",
  "0",
  "65536",
  "db-1.example",
  "%eth0",
  "1.2.3",
  "fe80",
  "::ffff:1.2.3.4",
  ".",
  "-",
  "_",
  "٣",
];
const unitParts = [
  "1",
  "9",
  "0",
  ".",
  "5",
  " ",
  "ms",
  "s",
  "m",
  "h",
  "B",
  "KiB",
  "MiB",
  "GiB",
  "e",
  "-",
  "999999999999999",
];

function drawParts(prng: Prng): Bytes {
  const parts = prng.chance(1, 2) ? addressParts : unitParts;
  const text = Array.from({ length: prng.int(0, 8) }, () =>
    prng.chance(1, 10) ? randomText(prng, 5) : prng.pick(parts),
  ).join("");
  return toUtf8(prng.chance(1, 60) ? text.repeat(2000) : text);
}

function checkWords(input: Bytes): void {
  const text = fromUtf8(input);
  const address = parseAddress(text);
  if (address !== undefined) {
    ensureEqual(parseAddress(formatAddress(address)), address, "an address is written and parsed as it was");
    ensure(isHost(address.host), "the host of an address is one");
    ensure(address.port >= 1 && address.port <= 65_535, "the port of an address is one");
    ensure(!/[^\x21-\x7e]/.test(formatAddress(address)), "an address is plain text");
  }
  for (const [parse, format] of [
    [parseDuration, formatDuration],
    [parseSize, formatSize],
  ] as const) {
    const quantity = parse(text);
    if (quantity === undefined) continue;
    ensure(Number.isSafeInteger(quantity) && quantity >= 0, "a quantity is a whole number");
    ensure(parse(format(quantity)) === quantity, `${format(quantity)} is parsed as ${quantity}`);
  }
  expectUsage(() => parseEndpointList(text, "--endpoints"));
}

export const wordsTarget: FuzzTarget = {
  name: "words",
  check: checkWords,
  run(prng, note) {
    const input = drawParts(prng);
    note(input);
    checkWords(input);
    const number = randomNumber(prng) % 1e15;
    ensure(parseDuration(formatDuration(number)) === number, `a duration of ${number} ms is read back`);
    ensure(parseSize(formatSize(number)) === number, `a size of ${number} bytes is read back`);
  },
};

/** Runs what may refuse its text, and only as misuse. */
function expectUsage(run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof KvraftError)) throw error;
    ensure(error.code === "USAGE" || error.code === "INVALID_ARGUMENT", `misuse is refused as ${error.code}`);
  }
}

// ---- arguments ----

const argumentWords = [
  ...commands.flatMap(({ name, aliases = [], flags }) => [
    name,
    ...aliases,
    ...flags.map((flag) => `--${flag.name}`),
  ]),
  "--",
  "-",
  "-o",
  "-ojson",
  "json",
  "--output=json",
  "--hex",
  "--timeout=5s",
  "--timeout",
  "99999h",
  "-e",
  "127.0.0.1:1",
  "--__proto__",
  "--constructor=1",
  "__proto__",
  "toString",
  "--no-hex",
  "-hhh",
  "-e=",
  "--=",
  "key",
];

/** Arguments are lines: a NUL byte cannot be in one, and a line feed is rare. */
function drawArguments(prng: Prng): Bytes {
  const args = Array.from({ length: prng.int(0, 7) }, () =>
    prng.chance(1, 6) ? randomText(prng, 12).replace(/\n/g, "") : prng.pick(argumentWords),
  );
  const line = toUtf8(args.join("\n"));
  return prng.chance(1, 4) ? mutate(prng, line) : line;
}

export const argumentsTarget = bytesTarget("arguments", drawArguments, (input) => {
  const args = fromUtf8(input).split("\n");
  expectUsage(() => {
    const parsed = parseCommandLine(args, commands);
    if (parsed.kind !== "call") return;
    const { command, call } = parsed;
    ensure(call.positionals.length >= command.argumentsMin, "a command gets the arguments that it needs");
    ensure(call.positionals.length <= command.argumentsMax, "a command gets no more arguments than it takes");
    const known = new Set(command.flags.map(({ name }) => name));
    for (const name of call.flags.keys()) ensure(known.has(name), "a command gets flags of its own only");
  });
  for (const word of args) {
    const near = suggest(
      word,
      commands.map(({ name }) => name),
    );
    ensure(near === undefined || commands.some(({ name }) => name === near), "a command is suggested");
  }
});

// ---- the prompt ----

/** Lines as they are typed, on a client that keeps what it is given. */
async function checkLines(input: Bytes): Promise<void> {
  const world = new World();
  const session = new ReplSession(
    world,
    world.client,
    { configPath: undefined, endpoints: undefined, timeoutMs: undefined, format: "plain", encoding: "bytes" },
    true,
  );
  for (const line of fromUtf8(input).split("\n")) {
    const [completions, completed] = completeVerb(line);
    ensure(completed === line && completions.length <= 6, "a line is completed to a verb or not at all");
    try {
      if ((await session.run(toUtf8(line))) === "leave") break;
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      ensure(error.code === "USAGE", `a line is refused as ${error.code}`);
    }
  }
  const shown = fromUtf8(world.takeBytes()).replaceAll("\n", "");
  ensure(!unshowable.test(shown), `a person sees text, found ${JSON.stringify(shown.slice(0, 200))}`);
}

const verbs = ["put", "get", "delete", "del", "status", "help", "HELP put", "exit", "quit", "__proto__", ""];

function drawLines(prng: Prng): Bytes {
  const keys = [toUtf8("a"), randomBytes(prng, 8)];
  const word = (): string =>
    prng.chance(1, 2) ? quoteWord(prng.pick(keys)) : quoteWord(randomBytes(prng, 30));
  const lines = Array.from({ length: prng.int(1, 8) }, () => {
    const verb = prng.chance(1, 3) ? prng.pick(verbs) : prng.pick(["put", "get"]);
    return [verb, ...Array.from({ length: verb === "put" ? 2 : prng.int(0, 2) }, word)].join(" ");
  });
  const text = toUtf8(lines.join("\n"));
  return prng.chance(1, 3) ? mutate(prng, text) : text;
}

export const promptTarget = bytesTarget("prompt", drawLines, checkLines);

// ---- the history ----

function drawHistory(prng: Prng): Bytes {
  const lines = Array.from({ length: prng.chance(1, 20) ? 1500 : prng.int(0, 20) }, () =>
    prng.chance(1, 30) ? "x".repeat(prng.int(4000, 4200)) : randomText(prng, 30),
  );
  const text = toUtf8(lines.join("\n"));
  return prng.chance(1, 2) ? mutate(prng, text) : text;
}

function checkHistory(content: Bytes): void {
  const path = join(scratchFolder(), "history");
  writeFileSync(path, content);
  const warnings: string[] = [];
  const history = new History(path, (text) => warnings.push(text));
  const lines = history.load();
  ensure(lines.length <= historyLinesMax && lines.every(isKept), "a history is lines that are kept");
  const added = "get the-last-line";
  history.add(added);
  const again = new History(path, (text) => warnings.push(text)).load();
  ensureEqual(again[0], added, "the line that was added last is the newest");
  ensure(again.length <= historyLinesMax, "a history stays bounded");
  // A byte that is no UTF-8 is written back as the three of U+FFFD.
  const bytesMax = 3 * content.length + added.length + 2;
  ensure(readFileSync(path).length <= bytesMax, "a history grows by the line that is added");
  ensureEqual(warnings, [], "a history of any content can be kept");
}

export const historyTarget = bytesTarget("history", drawHistory, checkHistory);
