import type { EntryId } from "../raft/types.ts";

/** What a Raft log may take of the disk and the heap. Sizes in bytes. */
export interface LogOptions {
  /**
   * A segment that would grow beyond this is followed by a new one. Small enough that dropping old segments gives
   * back space in useful steps, large enough that the cost of a new file (two syncs) does not show.
   */
  readonly segmentBytesMax: number;
  /**
   * Zeros that are kept written ahead of the log's end, 0 for none. A group that lands in them changes no file size,
   * so its sync writes no metadata: measured, for 16 KiB, 0.12 ms instead of 0.20.
   */
  readonly aheadBytes: number;
  /**
   * The most that one write of zeros takes. A group's sync may have to wait for it in the file system, and each costs a
   * sync of its own: measured, 256 KiB has a worse 90th percentile (0.36 ms) than 1 MiB (0.15 ms), 4 MiB a worse 99th.
   */
  readonly fillBytes: number;
  /**
   * Entries kept in memory, counted with their bookkeeping. What followers and the state machine ask for is nearly
   * always younger than this; the rest is read from the files.
   */
  readonly tailBytesMax: number;
  /**
   * A save larger than this goes to the disk as several groups, each synced before the next. Bounds the time that one
   * encoding holds the event loop, and what must be read to check one old entry.
   */
  readonly groupBytesMax: number;
  /** Segments whose files are kept open for reading: a follower that catches up reads one, and few do at a time. */
  readonly openSegmentsMax: number;
  /** What may be dropped from the log's front before anything is written at open; nothing when it is not said. */
  readonly stored?: StoredPart;
}

/** What the store has of the log, durably. */
export interface StoredPart {
  /** Up to this entry. */
  readonly applied: EntryId;
  /** What stays all the same, as in Keep. */
  readonly tailEntries: number;
  readonly tailBytes: number;
}

export const defaultLogOptions: LogOptions = {
  segmentBytesMax: 64 * 1024 * 1024,
  aheadBytes: 4 * 1024 * 1024,
  fillBytes: 1024 * 1024,
  tailBytesMax: 8 * 1024 * 1024,
  groupBytesMax: 4 * 1024 * 1024,
  openSegmentsMax: 4,
};

/** Whose log it is: ids of 16 hexadecimal digits. */
export interface LogOwner {
  readonly clusterId: string;
  readonly nodeId: string;
}
