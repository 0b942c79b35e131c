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
  /** How many files and connections the process may have open; undefined when that is not known. */
  readonly descriptorsMax?: number | undefined;
  /** Asks the collector to look for memory that nobody uses any more: it learns of buffers too late by itself. */
  readonly collect?: () => void;
  /** 32 random bits; seeds the node's own stream of chance and its ids. */
  random32(): number;
}
