import type { Address } from "../lib/address.ts";
import type { Bytes } from "../lib/bytes.ts";
import type { Client } from "./client.ts";

/**
 * The world of a command. Commands reach nothing else, so that a test can be their world; the exceptions are `server`
 * and `dev`, which run processes, `doctor`, which reads a data folder, and the prompt at a terminal.
 */
export interface Context {
  readonly stdin: Input;
  /** For data alone. */
  readonly stdout: Output;
  /** For everything else: errors, notes, progress. */
  readonly stderr: Output;
  readonly environment: Environment;
  /** The user's home folder, for files kept between runs. */
  readonly homeDir: string;
  /** The content of a file, or undefined when there is none; a file that cannot be read is a KvraftError. */
  readFile(path: string): Promise<Bytes | undefined>;
  openClient(servers: readonly Address[], timeoutMs: number): Promise<Client>;
}

/** The environment variables that kvraft reads. */
export interface Environment {
  /** As --endpoints. */
  readonly KVRAFT_ENDPOINTS?: string | undefined;
  /** Where the prompt keeps its history; empty: nowhere. */
  readonly KVRAFT_HISTFILE?: string | undefined;
  readonly XDG_CONFIG_HOME?: string | undefined;
  readonly XDG_STATE_HOME?: string | undefined;
}

export interface Input {
  readonly isTerminal: boolean;
  /** Somebody put something there: it is a pipe, a socket or a file. */
  readonly hasContent: boolean;
  /** What arrives, until the end. May be iterated once. */
  chunks(): AsyncIterable<Bytes>;
}

export interface Output {
  readonly isTerminal: boolean;
  write(data: string | Bytes): void;
}

/** A flag as it is parsed and as help shows it. */
export interface Flag {
  readonly name: string;
  readonly short?: string;
  /** What help calls the flag's value; a flag without one is a switch. */
  readonly value?: string;
  readonly summary: string;
  /** Its value may be any bytes. */
  readonly takesBytes?: true;
  /** For kvraft's own use: help does not show it. */
  readonly isHidden?: true;
}

/** One subcommand: how it is called, what help says of it, and what it does. */
export interface Command {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly summary: string;
  /** Its arguments as help shows them: `<key> [value]`. */
  readonly usage: string;
  readonly argumentsMin: number;
  readonly argumentsMax: number;
  /** Its arguments are keys and values: bytes. Those of other commands, and flags, are text. */
  readonly takesBytes?: true;
  readonly flags: readonly Flag[];
  /** What a user should know beyond the summary; whole lines. */
  readonly details?: string;
  readonly examples: readonly string[];
  /** The exit status; expected failures are thrown as KvraftError or KVError. */
  run(context: Context, call: Call): Promise<number>;
}

/** A command line, understood. */
export interface Call {
  readonly settings: Settings;
  readonly positionals: readonly string[];
  /** The command's own flags that were given: a switch is `true`. */
  readonly flags: ReadonlyMap<string, string | true>;
}

/** Arguments and values as plain bytes, or in hexadecimal or base64 digits, in and out. */
export type Encoding = "bytes" | "hex" | "base64";

/** The flags that every command takes. */
export interface Settings {
  readonly configPath: string | undefined;
  readonly endpoints: string | undefined;
  readonly timeoutMs: number | undefined;
  readonly format: "plain" | "json";
  readonly encoding: Encoding;
}
