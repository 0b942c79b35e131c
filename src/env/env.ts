import type { Clock } from "./clock.ts";
import type { Disk } from "./disk.ts";
import type { Net } from "./net.ts";
import type { Tables } from "./tables.ts";
import type { Workers } from "./workers.ts";

/** All the ways out of the process. A simulator brings its own, and runs everything else unchanged. */
export interface Env {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly net: Net;
  readonly tables: Tables;
  readonly workers: Workers;
  /** 32 random bits; seeds the node's own stream of chance and its ids. */
  random32(): number;
}
