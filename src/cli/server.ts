import type { LogLevel, ServerConfig } from "../config/config.ts";
import { type Address, formatAddress, parseFindableAddress, placeOf } from "../lib/address.ts";
import { KvraftError, messageOf } from "../lib/error.ts";
import type { KVServer, KVServerOptions } from "../server/kv-server.ts";
import { usageError } from "./args.ts";
import type { Call, Command, Context } from "./context.ts";
import { describeError, exitStatus } from "./exit-status.ts";
import { logTo } from "./log.ts";
import { readServerFile } from "./server-file.ts";
import { ServerReload } from "./server-reload.ts";

/** How long an orderly end may be held up by something that still keeps the process busy. */
const lingerMs = 2_000;

export const serverCommand: Command = {
  name: "server",
  summary: "Run one server of a cluster",
  usage: "<config.yml>",
  argumentsMin: 1,
  argumentsMax: 1,
  flags: [
    {
      name: "join",
      value: "HOST:PORT",
      summary: "become a learner of the cluster that this server belongs to; the data folder must be empty",
    },
    { name: "check-config", summary: "say whether the configuration can be used, and end" },
    {
      name: "exit-with-stdin",
      summary: "stop when stdin ends: for a parent that may die",
      isHidden: true,
    },
  ],
  details: [
    "Logs to stderr. SIGTERM and SIGINT stop it in order (status 0), a second one at once. SIGHUP stops it in order, too,",
    "when stderr is a terminal; else the server reads its configuration again, for logLevel and the limits that can change",
    "while it runs. Status 2 when it cannot start (configuration, data folder, port), 1 when a fault stopped it.",
    "--check-config prints OK or every problem.",
    "--join asks a member of a cluster that exists: the server is sent everything from then on, and kvraft member add makes",
    "it a voter. It says so once: a server that has joined starts with and without the flag. Its configuration lists the",
    "server itself, in place 'me'; the other addresses are learned from the cluster.",
  ].join("\n"),
  examples: [
    "kvraft server config/server1.yml",
    "kvraft server --check-config config/server1.yml",
    "kvraft server server4.yml --join 127.0.0.1:5001",
  ],
  run: async (context, call) => {
    const path = call.positionals[0]!;
    const join = joinOf(call);
    const config = await readServerFile(context, path);
    if (join !== undefined && isSelf(join, config))
      throw usageError(`--join is ${formatAddress(join)}, which is this server's own address`, serverCommand);
    if (!call.flags.has("check-config"))
      return runServer(context, path, config, { join, endsWithStdin: call.flags.has("exit-with-stdin") });
    context.stdout.write("OK\n");
    return exitStatus.done;
  },
};

function joinOf(call: Call): Address | undefined {
  const text = call.flags.get("join");
  if (typeof text !== "string") return undefined;
  const address = parseFindableAddress(text);
  if (address !== undefined) return address;
  throw usageError(`--join is ${JSON.stringify(text)}, must be the host:port of a member`, serverCommand);
}

function isSelf(join: Address, { servers, me }: ServerConfig): boolean {
  return placeOf(servers[me]!) === placeOf(join);
}

interface RunOptions {
  /** A member of the cluster that is to be joined. */
  readonly join: Address | undefined;
  readonly endsWithStdin: boolean;
}

/** Runs until a signal, the end of stdin (if asked to), or a fault. */
async function runServer(
  context: Context,
  path: string,
  config: ServerConfig,
  { join, endsWithStdin }: RunOptions,
): Promise<number> {
  const logSettings = { logLevel: config.logLevel };
  const log = logTo(context.stderr, logSettings);
  const reload = new ServerReload(context, path, config, logSettings, log);
  const stopRequest = new StopRequest(log, context.stderr.isTerminal ? undefined : reload);
  stopRequest.listen(endsWithStdin);
  try {
    const { startKVServer } = await import("../server/kv-server.ts");
    const options: KVServerOptions & { readonly join?: Address } = {
      log,
      ...(join === undefined ? {} : { join }),
    };
    const server = await startKVServer(config, options);
    reload.serve(server);
    stopRequest.serve(server);
    const fault = await Promise.race([server.stopped, stopRequest.failed]);
    if (fault === undefined) return exitStatus.done;
    context.stderr.write(`${describeError(fault)}\n`);
    // A folder that turned out to be unusable when the peers were asked is no other than one that is so at once.
    return fault.code === "IDENTITY" ? exitStatus.usage : exitStatus.fault;
  } finally {
    stopRequest.unlisten();
    setTimeout(() => process.exit(), lingerMs).unref();
  }
}

/** What asks the server to stop. It may come before there is a server to be stopped. */
class StopRequest {
  readonly #log: (level: LogLevel, line: string) => void;
  readonly #reload: ServerReload | undefined;
  readonly #failed = Promise.withResolvers<KvraftError>();
  #isAsked = false;
  #server: KVServer | undefined;
  readonly #onTerminate = () => this.#signal("SIGTERM", exitStatus.terminated);
  readonly #onInterrupt = () => this.#signal("SIGINT", exitStatus.interrupted);
  readonly #onHangUp = () => this.#hangUp();
  readonly #onInputEnd = () => this.#ask("stdin ended");

  /** `reload` is what SIGHUP asks for; without it the terminal is gone, and the server stops. */
  constructor(log: (level: LogLevel, line: string) => void, reload: ServerReload | undefined) {
    this.#log = log;
    this.#reload = reload;
  }

  /** Why the server could not stop in order. It would otherwise go on half stopped, deaf to a signal. */
  get failed(): Promise<KvraftError> {
    return this.#failed.promise;
  }

  listen(endsWithStdin: boolean): void {
    process.on("SIGTERM", this.#onTerminate);
    process.on("SIGINT", this.#onInterrupt);
    // For good: a terminal that closes may send several, and none may cut the end short.
    process.on("SIGHUP", this.#onHangUp);
    if (!endsWithStdin) return;
    for (const event of ["end", "close", "error"]) process.stdin.on(event, this.#onInputEnd);
    process.stdin.resume();
  }

  unlisten(): void {
    process.off("SIGTERM", this.#onTerminate);
    process.off("SIGINT", this.#onInterrupt);
    for (const event of ["end", "close", "error"]) process.stdin.off(event, this.#onInputEnd);
    process.stdin.pause();
  }

  serve(server: KVServer): void {
    this.#server = server;
    if (this.#isAsked) this.#run();
  }

  #signal(name: string, status: number): void {
    if (this.#isAsked) process.exit(status);
    this.#ask(name);
  }

  #hangUp(): void {
    if (this.#reload === undefined) this.#ask("SIGHUP: the terminal is gone");
    else if (!this.#isAsked) void this.#reload.run();
  }

  #ask(cause: string): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.#log("info", `stopping: ${cause}`);
    this.#run();
  }

  #run(): void {
    this.#server?.stop().catch((cause: unknown) => {
      const code = cause instanceof KvraftError ? cause.code : "IO_ERROR";
      this.#failed.resolve(new KvraftError(code, `Cannot stop in order: ${messageOf(cause)}`, { cause }));
    });
  }
}
