import type { LogLevel, ServerConfig } from "../config/config.ts";
import { reloadConfig } from "../config/reload.ts";
import { KvraftError } from "../lib/error.ts";
import type { KVServer } from "../server/kv-server.ts";
import type { Context } from "./context.ts";
import { readServerFile } from "./server-file.ts";

/** What runs, and the file that it came from: read again on SIGHUP. With a file that cannot be used all stays as it is. */
export class ServerReload {
  readonly #context: Context;
  readonly #path: string;
  readonly #log: (level: LogLevel, line: string) => void;
  /** The level that counts now. */
  readonly #logSettings: { logLevel: LogLevel };
  #config: ServerConfig;
  #server: KVServer | undefined;
  /** One at a time: what comes meanwhile is one more. */
  #isUnderWay = false;
  #isAskedAgain = false;

  constructor(
    context: Context,
    path: string,
    config: ServerConfig,
    logSettings: { logLevel: LogLevel },
    log: (level: LogLevel, line: string) => void,
  ) {
    this.#context = context;
    this.#path = path;
    this.#config = config;
    this.#logSettings = logSettings;
    this.#log = log;
  }

  serve(server: KVServer): void {
    this.#server = server;
    server.reload(this.#config.limits);
  }

  async run(): Promise<void> {
    this.#isAskedAgain = true;
    if (this.#isUnderWay) return;
    this.#isUnderWay = true;
    while (this.#isAskedAgain) {
      this.#isAskedAgain = false;
      await this.#reload();
    }
    this.#isUnderWay = false;
  }

  async #reload(): Promise<void> {
    try {
      const file = await readServerFile(this.#context, this.#path);
      const { config, changed, restart } = reloadConfig(this.#config, file);
      this.#config = config;
      this.#logSettings.logLevel = config.logLevel;
      this.#server?.reload(config.limits);
      const what = changed.length === 0 ? "nothing has changed" : changed.join(", ");
      this.#log("warn", `SIGHUP: read ${this.#path} again: ${what}`);
      if (restart.length > 0)
        this.#log("warn", `SIGHUP: these settings take effect at the next start: ${restart.join(", ")}`);
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      this.#log("error", `SIGHUP: all settings stay as they are: ${error.message}`);
    }
  }
}
