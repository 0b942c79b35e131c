import type { ErrorCode } from "../lib/error.ts";
import type { InstallOrder, InstallReport } from "./install-messages.ts";
import type { Applied, Manifest, TableFile } from "./manifest.ts";
import type { MemtableParts } from "./memtable.ts";

/** How a store is kept, for the worker that does it. */
export interface UpkeepOptions {
  /**
   * A run is divided into files of about this size: what a step of a merge writes, and the space that it needs for
   * a while.
   */
  readonly tableBytesMax: number;
  readonly runsMax: number;
}

/** What the store tells its worker. Plain data and shared memory: it goes from thread to thread. */
export type UpkeepOrder =
  /** The first one: the folder is the worker's from now on, as MANIFEST describes it. */
  | {
      readonly kind: "begin";
      readonly folder: string;
      readonly manifest: Manifest;
      readonly options: UpkeepOptions;
    }
  /** Make a run of a sealed memtable. */
  | {
      readonly kind: "flush";
      readonly parts: MemtableParts;
      readonly sequence: number;
      readonly applied: Applied;
      /** Reads at this sequence number and above will see what was there; what only older ones see may go. */
      readonly historyFloor: number;
    }
  /** A file that MANIFEST does not name any more has lost its last reader. */
  | { readonly kind: "remove"; readonly number: number }
  /** Merge everything into one run. Answered by "compacted". */
  | { readonly kind: "compact" }
  /** Nobody writes much (or somebody does again): give back more space than while every write counts. */
  | { readonly kind: "rest"; readonly isResting: boolean }
  | ({ readonly kind: "install" } & InstallOrder);

/** What flushes and merges have cost since the worker began. */
export interface UpkeepWork {
  readonly flushes: number;
  readonly merges: number;
  readonly flushMs: number;
  readonly mergeMs: number;
  readonly flushedBytes: number;
  readonly mergeReadBytes: number;
  readonly mergeWrittenBytes: number;
}

/** What it begins with. */
export const noWork: UpkeepWork = {
  flushes: 0,
  merges: 0,
  flushMs: 0,
  mergeMs: 0,
  flushedBytes: 0,
  mergeReadBytes: 0,
  mergeWrittenBytes: 0,
};

/** What the worker tells its store. */
export type UpkeepReport =
  /** A file is complete that MANIFEST will name soon: whoever opens it now need not open many at once then. */
  | { readonly kind: "built"; readonly file: TableFile }
  /**
   * MANIFEST is this one, and all that it names is durable. `isFlush`: it holds the oldest sealed memtable. `install`:
   * it holds what that install has brought, and nothing of before, in files or sealed.
   */
  | {
      readonly kind: "installed";
      readonly manifest: Manifest;
      readonly isFlush: boolean;
      readonly install: number | undefined;
      readonly work: UpkeepWork;
      /** Bytes of files to bytes alive, as far as is known. */
      readonly spaceRatio: number;
      /** Bytes that merges under way still have to read. */
      readonly mergeDebtBytes: number;
    }
  | { readonly kind: "compacted" }
  | ({ readonly kind: "install" } & InstallReport)
  /** Something has happened that people may want to know. */
  | { readonly kind: "line"; readonly text: string }
  /** Nothing more is tried: what is on disk is not known. */
  | { readonly kind: "failed"; readonly code: ErrorCode; readonly message: string };
