import { parseArgs } from "node:util";
import { timeoutRangeMs } from "../config/config.ts";
import { suggest } from "../config/suggest.ts";
import { formatDuration, parseDuration } from "../config/units.ts";
import { KvraftError } from "../lib/error.ts";
import type { Call, Command, Encoding, Flag, Settings } from "./context.ts";

/** The flags every command takes; they may stand before the command or after it. */
export const globalFlags: readonly Flag[] = [
  { name: "config", short: "c", value: "FILE", summary: "the client's configuration: servers, timeout" },
  { name: "endpoints", short: "e", value: "H:P,H:P", summary: "the servers (or KVRAFT_ENDPOINTS)" },
  { name: "timeout", value: "DURATION", summary: "how long a request may take, 5s if not said" },
  { name: "output", short: "o", value: "plain|json", summary: "how results are printed, plain if not said" },
  { name: "hex", summary: "keys and values are hexadecimal digits, in and out" },
  { name: "base64", summary: "keys and values are base64 digits, in and out" },
  { name: "help", short: "h", summary: "help for kvraft or for the command" },
  { name: "version", summary: "the version" },
];

/** What a command line asks for. */
export type Parsed =
  | { readonly kind: "call"; readonly command: Command; readonly call: Call }
  | { readonly kind: "help"; readonly topic: Command | readonly Command[] | undefined }
  | { readonly kind: "version"; readonly settings: Settings }
  | { readonly kind: "nothing" };

/** Understands a command line, or throws a KvraftError (USAGE) that says what to write instead. */
export function parseCommandLine(args: readonly string[], commands: readonly Command[]): Parsed {
  const { positionals, given } = tokenize(args, commands);
  const topic = positionals.length === 0 ? undefined : findTopic(positionals, commands);
  const command = topic === undefined || isGroup(topic) ? undefined : topic;
  const isHelp = given.some(({ name }) => name === "help");
  if (topic !== undefined && isGroup(topic) && !isHelp) throw missingWord(positionals, topic);
  const known = [...globalFlags, ...(command?.flags ?? [])];
  for (const flag of given) checkFlag(flag, known, command);
  if (command?.takesBytes !== true) for (const text of positionals) checkText(text, command);
  const values = new Map(given.map(({ name, value }) => [name, value ?? true] as const));
  if (values.has("help")) return { kind: "help", topic };
  const settings = settingsOf(values);
  if (values.has("version")) return { kind: "version", settings };
  if (command === undefined) return { kind: "nothing" };
  const rest = positionals.slice(wordsOf(command, positionals));
  checkCount(command, rest);
  const ownNames = new Set(command.flags.map((flag) => flag.name));
  const flags = new Map([...values].filter(([flagName]) => ownNames.has(flagName)));
  return { kind: "call", command, call: { settings, positionals: rest, flags } };
}

/**
 * The command that these words begin with, or, for the first word of several commands alone, all of them. Otherwise a
 * KvraftError (USAGE) that suggests one.
 */
export function findTopic(words: readonly string[], commands: readonly Command[]): Command | Command[] {
  const found = commands.find((command) => wordsOf(command, words) > 0);
  if (found !== undefined) return found;
  const [first = "", second] = words;
  const group = groupOf(first, commands);
  if (group.length > 0 && second === undefined) return group;
  const name = group.length > 0 ? `${first} ${second}` : first;
  const names = group.length > 0 ? group.map((command) => command.name) : firstNames(commands);
  const near = suggest(name, names);
  const hint = near === undefined ? "" : `; did you mean ${JSON.stringify(near)}?`;
  throw usageError(`Unknown command ${JSON.stringify(name)}${hint}`, group);
}

/** Whether it is what the first word of several commands stands for. */
export function isGroup(topic: Command | readonly Command[]): topic is readonly Command[] {
  return Array.isArray(topic);
}

/** How many words of the line are the command's name; 0 when it is another one. */
function wordsOf(command: Command, words: readonly string[]): number {
  const isNamed = (name: string) => name.split(" ").every((word, at) => words[at] === word);
  const name = [command.name, ...(command.aliases ?? [])].find(isNamed);
  return name === undefined ? 0 : name.split(" ").length;
}

/** Commands of two words of which this is the first. */
function groupOf(first: string, commands: readonly Command[]): Command[] {
  return commands.filter((command) => command.name.startsWith(`${first} `));
}

/** The words that can stand first. */
function firstNames(commands: readonly Command[]): Set<string> {
  return new Set(commands.map((command) => command.name.split(" ")[0]!));
}

function missingWord([first]: readonly string[], group: readonly Command[]): KvraftError {
  const words = group.map((command) => command.name.slice(command.name.indexOf(" ") + 1));
  return usageError(`${first} needs a second word: ${words.join(", ")}`, group);
}

/** A KvraftError (USAGE) with the line that says how to call the command, or those of a group. */
export function usageError(problem: string, topic: Command | readonly Command[] | undefined): KvraftError {
  const { usage, help } = howToCall(topic);
  return new KvraftError("USAGE", `${problem}\nUsage: ${usage} (${help} says more)`);
}

function howToCall(topic: Command | readonly Command[] | undefined): { usage: string; help: string } {
  const isNone = topic === undefined || (isGroup(topic) && topic.length === 0);
  if (isNone) return { usage: "kvraft <command> [arguments]", help: "kvraft help" };
  if (!isGroup(topic)) return { usage: usageOf(topic), help: `kvraft help ${topic.name}` };
  const [first] = topic[0]!.name.split(" ");
  return { usage: `kvraft ${first} <command> [arguments]`, help: `kvraft help ${first}` };
}

export function usageOf(command: Command): string {
  return ["kvraft", command.name, command.usage].filter((part) => part !== "").join(" ");
}

interface GivenFlag {
  readonly name: string;
  /** As it stands on the command line: `--raw`, `-o`. */
  readonly raw: string;
  readonly value: string | undefined;
  readonly isInline: boolean;
}

/**
 * Splits without judging. A flag that takes a value takes the next argument whatever it looks like; to know which do
 * before the command is known, the flags of all commands are put together: none may be a switch here and not there.
 */
function tokenize(
  args: readonly string[],
  commands: readonly Command[],
): { positionals: string[]; given: GivenFlag[] } {
  const all = [...globalFlags, ...commands.flatMap((command) => command.flags)];
  const options = Object.fromEntries(
    all.map(({ name, short, value }) => [
      name,
      {
        type: value === undefined ? "boolean" : "string",
        ...(short === undefined ? {} : { short }),
      } as const,
    ]),
  );
  const { tokens } = parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const positionals: string[] = [];
  const given: GivenFlag[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind === "option")
      given.push({
        name: token.name,
        raw: token.rawName,
        value: token.value,
        isInline: token.inlineValue ?? false,
      });
  }
  return { positionals, given };
}

function checkFlag(given: GivenFlag, known: readonly Flag[], command: Command | undefined): void {
  const flag = known.find(({ name }) => name === given.name);
  if (flag === undefined) {
    const near = suggest(
      given.name,
      known.filter(({ isHidden }) => !isHidden).map(({ name }) => name),
    );
    const hint =
      near !== undefined && given.raw.startsWith("--")
        ? `; did you mean --${near}?`
        : `; write -- before a key or value that starts with -`;
    throw usageError(`Unknown flag ${given.raw}${hint}`, command);
  }
  if (flag.value !== undefined && given.value === undefined)
    throw usageError(`${given.raw} needs a value: ${given.raw} ${flag.value}`, command);
  if (flag.value === undefined && given.isInline) throw usageError(`${given.raw} takes no value`, command);
  if (given.value !== undefined && flag.takesBytes !== true) checkText(given.value, command);
}

/** Names of files, servers and the like are text: bytes that are none would become another name. */
export function checkText(argument: string, command: Command | undefined): void {
  if (argument.isWellFormed()) return;
  const shown = JSON.stringify(argument.toWellFormed());
  throw usageError(
    `The argument ${shown} is no UTF-8 text, and only keys and values may be any bytes`,
    command,
  );
}

function checkCount(command: Command, positionals: readonly string[]): void {
  const { argumentsMin: min, argumentsMax: max } = command;
  const count = positionals.length;
  if (count >= min && count <= max) return;
  const range =
    min === max ? `${max}` : max === Number.POSITIVE_INFINITY ? `${min} or more` : `${min} to ${max}`;
  const wanted = max === 0 ? "no arguments" : `${range} ${max === 1 ? "argument" : "arguments"}`;
  const found = positionals.map((text) => JSON.stringify(text)).join(" ");
  throw usageError(`${command.name} takes ${wanted}, found ${count === 0 ? "none" : found}`, command);
}

function settingsOf(values: ReadonlyMap<string, string | true>): Settings {
  const text = (name: string) => {
    const value = values.get(name);
    return value === true ? undefined : value;
  };
  const format = text("output") ?? "plain";
  if (format !== "plain" && format !== "json")
    throw usageError(`--output is ${JSON.stringify(format)}, must be plain or json`, undefined);
  if (values.has("hex") && values.has("base64"))
    throw usageError("--hex and --base64 exclude each other", undefined);
  const encoding: Encoding = values.has("hex") ? "hex" : values.has("base64") ? "base64" : "bytes";
  return {
    configPath: text("config"),
    endpoints: text("endpoints"),
    timeoutMs: timeoutOf(text("timeout")),
    format,
    encoding,
  };
}

function timeoutOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  // A bare number would be milliseconds in a file; here most people would mean seconds.
  const timeoutMs = /^\d+$/.test(text) ? undefined : parseDuration(text);
  const { min, max } = timeoutRangeMs;
  if (timeoutMs !== undefined && timeoutMs >= min && timeoutMs <= max) return timeoutMs;
  const range = `${formatDuration(min)} to ${formatDuration(max)}`;
  throw usageError(
    `--timeout is ${JSON.stringify(text)}, must be a duration from ${range} with its unit, like 5s`,
    undefined,
  );
}
