import type { Disk } from "./disk.ts";
import type { Tables } from "./tables.ts";

/** The world as a worker sees it: it may wait for the disk. */
export interface WorkerEnv {
  readonly disk: Disk;
  readonly tables: Tables;
  /** Milliseconds that never go back. */
  monotonicMs(): number;
}

/** What runs in a worker. It is told things, and works in slices of some milliseconds in between. */
export interface WorkerService {
  receive(message: unknown): void;
  /**
   * Does a slice. "idle": there is nothing to do before the next message; "gentle": there is, but it does not
   * hurry.
   */
  work(): WorkerPace;
  /** Nothing more follows: it drops what is under way, and lets go of what it holds. */
  end(): void;
}

export type WorkerPace = "idle" | "busy" | "gentle";

export type MakeWorkerService = (env: WorkerEnv, send: (message: unknown) => void) => WorkerService;

/** Threads beside the event loop, all of which run the one service that the program has for them. */
export interface Workers {
  /** Starts one. `receive` is told what it sends: in a turn of the event loop of its own, or inside of `wait`. */
  start(receive: (message: unknown) => void): WorkerThread;
}

export interface WorkerThread {
  /** Slices of work that it has ended. While it has something to do and this stands still, the thread or its disk hangs. */
  readonly slices: number;
  /** Tells it something: plain data, which is copied, and SharedArrayBuffers, which are not. */
  post(message: unknown): void;
  /** Stops the event loop until the worker sends something, which is received then, or for `ms` at the most. */
  wait(ms: number): void;
  /**
   * Ends it once it has been told all that was posted, in the middle of its work. Nothing more is received. Returns
   * false when it does not stop in time (its disk hangs): it may still be at work then. In time is within `msMax`, or
   * within what a slow disk takes.
   */
  end(msMax?: number): boolean;
}
