import type { Address } from "../lib/address.ts";

/** Everything a server is told at its start. */
export interface ServerConfig {
  /** This server's place in `servers`, from 0. */
  readonly me: number;
  /** All servers of the cluster, this one included; the same list, in the same order, on each of them. */
  readonly servers: readonly Address[];
  /**
   * What it listens on: all addresses of the machine (0.0.0.0, ::) or one of them; undefined for its own in `servers`, which
   * is what others are told.
   */
  readonly listen?: Address;
  /** Relative to the current folder, or absolute. */
  readonly dataDir: string;
  readonly timings: Timings;
  readonly limits: Limits;
  readonly logLevel: LogLevel;
}

/** Invariant: tick <= heartbeat < electionMin < electionMax. */
export interface Timings {
  /** The unit of the core's logical time. */
  readonly tickMs: number;
  /** How often a leader says that it lives. */
  readonly heartbeatMs: number;
  /** A follower that hears of no leader for this long, drawn anew each time between the two, campaigns. */
  readonly electionMinMs: number;
  readonly electionMaxMs: number;
  /** A leader whose disk write hangs for this long steps down. */
  readonly diskStallMs: number;
}

/** Invariant: a put with the largest key and value fits into each of clientOutput, segment and uncommitted. */
export interface Limits {
  /** The longest key that is accepted. */
  readonly keyBytes: number;
  /** The longest value that is accepted. */
  readonly valueBytes: number;
  /** Client connections at one time; a further one is closed. */
  readonly connections: number;
  /** Requests that wait for an answer at one time, over all connections; a further one is refused. */
  readonly requestsInFlight: number;
  /** Replies that wait for one client to read them; a client that lets more pile up is cut off. */
  readonly clientOutputBytes: number;
  /** Memory for all clients together: requests that arrive slowly, replies that are read slowly. */
  readonly clientBytes: number;
  /** Writes held in memory before they become a sorted run on disk. */
  readonly memtableBytes: number;
  /** A file of the Raft log is followed by the next one at this size. */
  readonly segmentBytes: number;
  /** Entries of the Raft log that stay for followers that are a little behind, although the store has them... */
  readonly logTailEntries: number;
  /** ...or fewer, when they take so many bytes. */
  readonly logTailBytes: number;
  /** The nodes compare the hashes of their states once in so many entries; 0 for never. */
  readonly agreementEntries: number;
  /** Commands the leader holds that no majority has stored yet; a further one is refused as busy. */
  readonly uncommittedBytes: number;
}

/** Each level includes those before it. */
export type LogLevel = "error" | "warn" | "info" | "debug";

/** What a client is told: where the servers are, and how long a request may take. */
export interface ClientConfig {
  readonly servers: readonly Address[];
  readonly timeoutMs: number;
}

export const defaultTimings: Timings = {
  tickMs: 10,
  heartbeatMs: 50,
  electionMinMs: 300,
  electionMaxMs: 600,
  diskStallMs: 5_000,
};

export const defaultLimits: Limits = {
  keyBytes: 64 * 1024,
  valueBytes: 8 * 1024 * 1024,
  connections: 10_000,
  requestsInFlight: 65_536,
  clientOutputBytes: 32 * 1024 * 1024,
  clientBytes: 256 * 1024 * 1024,
  memtableBytes: 64 * 1024 * 1024,
  segmentBytes: 16 * 1024 * 1024,
  logTailEntries: 100_000,
  agreementEntries: 4096,
  logTailBytes: 64 * 1024 * 1024,
  uncommittedBytes: 64 * 1024 * 1024,
};

export const defaultLogLevel: LogLevel = "info";

export const defaultTimeoutMs = 5_000;

/** The range of a request's timeout, in a file and on the command line. */
export const timeoutRangeMs = { min: 1, max: 3_600_000 } as const;

/** Each write waits for a majority, so a longer list makes the cluster slower and hardly any safer. */
export const serversMax = 15;

/** The data folder of a server whose configuration names none: below the current folder, counted from 1. */
export function defaultDataDir(me: number): string {
  return `data/server${me + 1}`;
}
