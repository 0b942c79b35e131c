import { BunClock } from "./bun-clock.ts";
import { BunDisk } from "./bun-disk.ts";
import { BunNet } from "./bun-net.ts";
import { BunWorkers } from "./bun-workers.ts";
import { descriptorLimit } from "./descriptor-limit.ts";
import type { Env } from "./env.ts";
import { SqliteTables } from "./sqlite-tables.ts";

/** The file that runs in a worker: the binary itself, or its first source. */
export const workerProgram: string = Bun.isStandaloneExecutable
  ? Bun.main
  : new URL("../main.ts", import.meta.url).pathname;

/** The world as it is. */
export function realEnv(): Env {
  return {
    clock: new BunClock(),
    disk: new BunDisk(),
    net: new BunNet(),
    tables: new SqliteTables(),
    workers: new BunWorkers(workerProgram),
    descriptorsMax: descriptorLimit(),
    collect: () => Bun.gc(false),
    random32: () => crypto.getRandomValues(new Uint32Array(1))[0]!,
  };
}
