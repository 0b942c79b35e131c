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
  | { readonly kind: "help"; readonly command: Command | undefined }
  | { readonly kind: "version"; readonly settings: Settings }
  | { readonly kind: "nothing" };

/** Understands a command line, or throws a KvraftError (USAGE) that says what to write instead. */
export function parseCommandLine(args: readonly string[], commands: readonly Command[]): Parsed {
  const { positionals, given } = tokenize(args, commands);
  const [name, ...rest] = positionals;
  const command = name === undefined ? undefined : findCommand(name, commands);
  const known = [...globalFlags, ...(command?.flags ?? [])];
  for (const flag of given) checkFlag(flag, known, command);
  const values = new Map(given.map(({ name, value }) => [name, value ?? true] as const));
  if (values.has("help")) return { kind: "help", command };
  const settings = settingsOf(values);
  if (values.has("version")) return { kind: "version", settings };
  if (command === undefined) return { kind: "nothing" };
  checkCount(command, rest);
  const ownNames = new Set(command.flags.map((flag) => flag.name));
  const flags = new Map([...values].filter(([flagName]) => ownNames.has(flagName)));
  return { kind: "call", command, call: { settings, positionals: rest, flags } };
}

/** The command of this name or alias, or a KvraftError (USAGE) that suggests one. */
export function findCommand(name: string, commands: readonly Command[]): Command {
  const found = commands.find((command) => command.name === name || command.aliases?.includes(name));
  if (found !== undefined) return found;
  const near = suggest(
    name,
    commands.map((command) => command.name),
  );
  const hint = near === undefined ? "" : `; did you mean ${JSON.stringify(near)}?`;
  throw usageError(`Unknown command ${JSON.stringify(name)}${hint}`, undefined);
}

/** A KvraftError (USAGE) with the line that says how to call the command. */
export function usageError(problem: string, command: Command | undefined): KvraftError {
  const usage = command === undefined ? "kvraft <command> [arguments]" : usageOf(command);
  const help = command === undefined ? "kvraft help" : `kvraft help ${command.name}`;
  return new KvraftError("USAGE", `${problem}\nUsage: ${usage} (${help} says more)`);
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
