import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import type { Subprocess } from "bun";
import { BunDisk } from "../env/bun-disk.ts";
import type { DiskLock } from "../env/disk.ts";
import { KvraftError, messageOf } from "../lib/error.ts";
import { type DevPlan, devConfigPath, devServerConfig } from "./dev-plan.ts";

/** How long a server may take to stop in order before it is killed. */
const stopMsMax = 5_000;

/** The server processes of a plan. They outlive nothing: each ends when its stdin, a pipe from here, does. */
export class DevCluster {
  readonly #plan: DevPlan;
  readonly #children: Subprocess[] = [];
  readonly #onEnd: (text: string) => void;
  /** Held as long as this process runs, so that a second `dev` does not rewrite the files of the first. */
  #lock: DiskLock | undefined;
  #isStopping = false;
  #failure: string | undefined;

  /** `onEnd` is told of each server that ends before it is asked to. */
  constructor(plan: DevPlan, onEnd: (text: string) => void) {
    this.#plan = plan;
    this.#onEnd = onEnd;
  }

  /** What the first server that ended by itself said last. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Takes the folder, writes the configurations and starts the servers; `stop` is due also when it throws. */
  start(): void {
    const { dataDir, servers } = this.#plan;
    this.#lock = lockFolder(dataDir);
    try {
      for (const me of servers.keys())
        writeFileSync(devConfigPath(dataDir, me), devServerConfig(this.#plan, me));
      for (const me of servers.keys()) this.#children.push(this.#spawn(me));
    } catch (error) {
      const text = `Cannot start a cluster in ${JSON.stringify(dataDir)}: ${messageOf(error)}`;
      throw new KvraftError("IO_ERROR", text, { cause: error });
    }
  }

  /** Asks every server to stop, kills those that do not, and returns when none is left. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const child of this.#children) child.kill("SIGTERM");
    const timer = setTimeout(() => {
      for (const child of this.#children) child.kill("SIGKILL");
    }, stopMsMax);
    await Promise.all(this.#children.map((child) => child.exited));
    clearTimeout(timer);
    this.#lock?.release();
  }

  #spawn(me: number): Subprocess {
    const logFile = openSync(this.#logPath(me), "a");
    try {
      const child = Bun.spawn({
        cmd: [...ownCommand(), "server", devConfigPath(this.#plan.dataDir, me), "--exit-with-stdin"],
        stdin: "pipe",
        stdout: logFile,
        stderr: logFile,
        // A Ctrl-C at the terminal is for the prompt; the servers would stop under it.
        detached: true,
      });
      child.exited.then(
        () => this.#ended(me, child),
        () => this.#ended(me, child),
      );
      return child;
    } finally {
      closeSync(logFile);
    }
  }

  #ended(me: number, child: Subprocess): void {
    if (this.#isStopping) return;
    const path = this.#logPath(me);
    const cause = child.signalCode ?? `status ${child.exitCode}: ${lastLine(path)}`;
    const text = `server${me + 1} ended (${cause}); its log: ${path}`;
    this.#failure ??= text;
    this.#onEnd(text);
  }

  #logPath(me: number): string {
    return `${this.#plan.dataDir}/server${me + 1}.txt`;
  }
}

function lockFolder(dataDir: string): DiskLock {
  const disk = new BunDisk();
  disk.createFolder(dataDir);
  const lock = disk.lock(`${dataDir}/LOCK`);
  if (lock !== undefined) return lock;
  throw new KvraftError(
    "LOCKED",
    `Cannot start a cluster in ${JSON.stringify(dataDir)}: another kvraft dev runs there; ` +
      "stop it or choose another --data-dir",
  );
}

/** True when nobody listens on the port of this machine. */
export function isPortFree(port: number): boolean {
  try {
    Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
    return true;
  } catch {
    return false;
  }
}

/** How this very program is started: the binary alone, or bun with the source. */
function ownCommand(): string[] {
  return Bun.isStandaloneExecutable ? [process.execPath] : [process.execPath, Bun.main];
}

function lastLine(path: string): string {
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  return lines.at(-1) ?? "";
}
