import { suggest } from "../config/suggest.ts";
import { type Bytes, fromUtf8 } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import type { Client } from "./client.ts";
import type { Context, Settings } from "./context.ts";
import { printRecord } from "./get.ts";
import { table } from "./help.ts";
import { decodeArgument, encodeOutput, jsonLine } from "./output.ts";
import { showBytes, splitWords } from "./quoting.ts";
import { leaderOf, statusTable } from "./status.ts";

/** A command of the prompt. */
interface Verb {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly words: string;
  readonly summary: string;
  readonly wordsMin: number;
  readonly wordsMax: number;
}

const verbs: readonly Verb[] = [
  { name: "put", aliases: [], words: "key value", summary: "store a value", wordsMin: 2, wordsMax: 2 },
  { name: "get", aliases: [], words: "key", summary: "print the value of a key", wordsMin: 1, wordsMax: 1 },
  { name: "delete", aliases: ["del"], words: "key", summary: "remove a key", wordsMin: 1, wordsMax: 1 },
  { name: "status", aliases: [], words: "", summary: "show each node", wordsMin: 0, wordsMax: 0 },
  {
    name: "help",
    aliases: [],
    words: "[command]",
    summary: "this list, or one line of it",
    wordsMin: 0,
    wordsMax: 1,
  },
  { name: "exit", aliases: ["quit"], words: "", summary: "leave, as Ctrl-D does", wordsMin: 0, wordsMax: 0 },
];

const quotingHelp = [
  'Words are separated by spaces; quote those with spaces in them: put greeting "hello, world".',
  String.raw`In double quotes \n \t \r \" \\ and \xhh (a byte) are understood; single quotes take all as it stands.`,
  "",
].join("\n");

/** The words that can begin a line, for completion. */
export const verbNames: readonly string[] = verbs.map((verb) => verb.name);

/**
 * Runs lines of the prompt, one at a time. To a person everything is said in words; a pipe gets the values alone on
 * stdout, and what else is to be said on stderr.
 */
export class ReplSession {
  readonly #context: Context;
  readonly #client: Client;
  readonly #settings: Settings;
  readonly #isForPeople: boolean;

  constructor(context: Context, client: Client, settings: Settings, isForPeople: boolean) {
    this.#context = context;
    this.#client = client;
    this.#settings = settings;
    this.#isForPeople = isForPeople;
  }

  /** Runs one line and says whether to go on. A line that cannot be understood is a KvraftError (USAGE). */
  async run(line: Bytes): Promise<"go-on" | "leave"> {
    const split = splitWords(line);
    if (!split.ok) throw new KvraftError("USAGE", `Cannot read the line: ${split.problem}`);
    const [first, ...words] = split.words;
    if (first === undefined) return "go-on";
    const verb = findVerb(fromUtf8(first));
    if (words.length < verb.wordsMin || words.length > verb.wordsMax) {
      const hint = words.length > verb.wordsMax ? "; quote what has spaces in it" : "";
      throw new KvraftError(
        "USAGE",
        `Wrong number of words: found ${words.length}, wanted ${lineOf(verb)}${hint}`,
      );
    }
    return this.#runVerb(verb.name, words);
  }

  async #runVerb(name: string, words: readonly Bytes[]): Promise<"go-on" | "leave"> {
    switch (name) {
      case "get":
        await this.#get(this.#decode(words[0]!, "key"));
        break;
      case "put":
        await this.#client.put(this.#decode(words[0]!, "key"), this.#decode(words[1]!, "value"));
        this.#tell("OK");
        break;
      case "delete": {
        const existed = await this.#client.delete(this.#decode(words[0]!, "key"));
        this.#tell(existed ? "deleted" : "key not found");
        break;
      }
      case "status":
        await this.#status();
        break;
      case "help":
        this.#context.stdout.write(helpText(words[0]));
        break;
      default:
        return "leave";
    }
    return "go-on";
  }

  async #get(key: Bytes): Promise<void> {
    const { stdout, stderr } = this.#context;
    const { encoding, format } = this.#settings;
    let isFound = true;
    if (format === "json") isFound = await printRecord(this.#context, this.#client, key, this.#settings);
    else {
      const value = await this.#client.getBytes(key);
      isFound = value !== undefined;
      if (value !== undefined) {
        const isShown = this.#isForPeople && encoding === "bytes";
        stdout.write(isShown ? showBytes(value) : encodeOutput(value, encoding));
        stdout.write("\n");
      }
    }
    if (!isFound) (this.#isForPeople ? stdout : stderr).write("key not found\n");
  }

  async #status(): Promise<void> {
    const nodes = await this.#client.status();
    this.#context.stdout.write(
      this.#settings.format === "json"
        ? jsonLine({ leader: leaderOf(nodes)?.address ?? null, nodes })
        : statusTable(nodes, this.#isForPeople),
    );
  }

  #decode(word: Bytes, what: string): Bytes {
    const { encoding } = this.#settings;
    return encoding === "bytes" ? word : decodeArgument(fromUtf8(word), encoding, what);
  }

  /** What a person wants to know and a pipe does not. */
  #tell(words: string): void {
    if (this.#isForPeople) this.#context.stdout.write(`${words}\n`);
  }
}

function findVerb(word: string): Verb {
  const name = word.toLowerCase();
  const found = verbs.find((verb) => verb.name === name || verb.aliases.includes(name));
  if (found !== undefined) return found;
  const near = suggest(name, verbNames);
  const hint = near === undefined ? "help lists the commands" : `did you mean ${near}?`;
  throw new KvraftError("USAGE", `Unknown command ${JSON.stringify(word.slice(0, 60))}; ${hint}`);
}

function lineOf(verb: Verb): string {
  return `${verb.name} ${verb.words}`.trim();
}

function helpText(word: Bytes | undefined): string {
  const chosen = word === undefined ? verbs : [findVerb(fromUtf8(word))];
  const lines = table(chosen.map((verb) => [lineOf(verb), verb.summary]));
  return `${lines.join("\n")}\n${word === undefined ? quotingHelp : ""}`;
}
