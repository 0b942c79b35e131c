import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { binary, cleanEnvironment, codeOf } from "./binary.ts";
import { track } from "./processes.ts";
import { until } from "./wait.ts";

/** One `kvraft server` at a time on one configuration file; its stderr is appended to a file. */
export class ServerProcess {
  readonly configPath: string;
  readonly logPath: string;
  /** What its next start finds in its environment besides the usual. */
  environment: Readonly<Record<string, string>> = {};
  readonly #wrapper: readonly string[];
  #child: ReturnType<typeof spawnServer> | undefined;

  /** `wrapper` is a command that the binary is run by, such as `["sh", "-c", 'ulimit …; exec "$@"', "sh"]`. */
  constructor(configPath: string, logPath: string, wrapper: readonly string[] = []) {
    this.configPath = configPath;
    this.logPath = logPath;
    this.#wrapper = wrapper;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The exit status when it has ended; undefined while it runs. */
  get status(): number | undefined {
    return this.#child === undefined || this.isRunning ? undefined : codeOf(this.#child);
  }

  get pid(): number {
    return this.#child!.pid;
  }

  /** All it ever said, over all its lives. */
  get log(): string {
    return existsSync(this.logPath) ? readFileSync(this.logPath, "utf8") : "";
  }

  start(flags: readonly string[] = []): void {
    if (this.isRunning) throw new Error("the server runs already");
    const command = [...this.#wrapper, binary, "server", this.configPath, "--exit-with-stdin", ...flags];
    this.#child = spawnServer(command, this.logPath, this.environment);
  }

  signal(name: "SIGKILL" | "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGSTOP" | "SIGCONT"): void {
    this.#child!.kill(name);
  }

  /** The exit status, when it has ended by itself or by a signal that was sent before. */
  async ended(timeoutMs = 10_000): Promise<number> {
    const child = this.#child!;
    await until(
      `the end of ${this.configPath}`,
      () => !this.isRunning,
      timeoutMs,
      () => this.log,
    );
    return codeOf(child);
  }

  async kill9(): Promise<void> {
    if (!this.isRunning) return;
    this.signal("SIGKILL");
    await this.#child!.exited;
  }

  /** SIGTERM; yields the exit status. */
  stop(): Promise<number> {
    this.signal("SIGTERM");
    return this.ended();
  }
}

/** It ends with its stdin, a pipe from here: so it ends with the tests even when they are killed. */
function spawnServer(
  command: readonly string[],
  logPath: string,
  environment: Readonly<Record<string, string>>,
) {
  const log = openSync(logPath, "a");
  try {
    return track(
      Bun.spawn([...command], {
        stdin: "pipe",
        stdout: log,
        stderr: log,
        env: cleanEnvironment(environment),
      }),
    );
  } finally {
    closeSync(log);
  }
}
