import { BunClock } from "./bun-clock.ts";
import { BunDisk } from "./bun-disk.ts";
import { BunNet } from "./bun-net.ts";
import type { Env } from "./env.ts";
import { SqliteTables } from "./sqlite-tables.ts";

/** The world as it is. */
export function realEnv(): Env {
  return {
    clock: new BunClock(),
    disk: new BunDisk(),
    net: new BunNet(),
    tables: new SqliteTables(),
    random32: () => crypto.getRandomValues(new Uint32Array(1))[0]!,
  };
}
