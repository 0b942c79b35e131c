import type { Disk } from "../env/disk.ts";
import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import type { Entry, EntryId, HardState, Index, LogView, Term } from "../raft/types.ts";
import { type Keep, mayDropFirst } from "./compaction.ts";
import { EntryTail } from "./entry-tail.ts";
import { groupHeaderBytes, groupSeed } from "./group.ts";
import { removeFiles } from "./leftovers.ts";
import { LogMap } from "./log-map.ts";
import { type Beginning, type GroupPlace, LogWriter, type SegmentStart } from "./log-writer.ts";
import { defaultLogOptions, type LogOptions, type LogOwner, type StoredPart } from "./options.ts";
import {
  entryDataBytesMax,
  entryOverheadBytes,
  RecordReader,
  writeEntry,
  writeHardState,
} from "./records.ts";
import { type RecoveredLog, recoverLog } from "./recovery.ts";
import { isStartOfLog } from "./segment.ts";
import { SegmentFiles } from "./segment-files.ts";
import type { StoredSegment } from "./stored-segment.ts";

export interface SavedState {
  /** Undefined when it has not changed since the last save. */
  readonly hardState: HardState | undefined;
  readonly entries: readonly Entry[];
  /**
   * The log begins anew after this entry, because the state up to it came as a snapshot: all that is in the log is
   * dropped, and `entries` follow this one. Term and vote stay; the commit is at least this entry's index afterwards.
   */
  readonly start?: EntryId | undefined;
}

type Done = (error?: Error) => void;

/** A save under way. It is one group, or several when it is large: each durable before the next is written. */
interface Save extends SavedState {
  readonly done: Done;
  /** The groups that are durable, and where the entries of each end in the list. */
  readonly parts: { place: GroupPlace; entriesEnd: number }[];
  /** How many of the entries are in those groups. */
  written: number;
}

const noState: HardState = { term: 0, vote: undefined, commit: 0 };

/**
 * The Raft log on disk: term, vote, commit and entries, as the sequence of groups that brought them. DESIGN.md says
 * why it looks as it does; group.ts, records.ts and segment.ts define the bytes.
 *
 * One save at a time, and one owner: whoever opens the folder holds its lock.
 */
export class Persister implements LogView {
  readonly #folder: string;
  readonly #options: LogOptions;
  readonly #map: LogMap;
  readonly #tail: EntryTail;
  readonly #files: SegmentFiles;
  readonly #writer: LogWriter;
  #hardState: HardState;
  /** As the groups say that were handed to the disk: ahead of `#hardState` within a save. */
  #hardStateWritten: HardState;
  #save: Save | undefined;
  #dead: Error | undefined;
  #isClosed = false;

  /**
   * Opens the log in a folder; a missing or empty folder becomes an empty log. All that it shows is durable, also what
   * an earlier process wrote and may never have synced. `report` gets a line about each thing that was put aside.
   *
   * Throws CORRUPTION, FORMAT or IDENTITY, with nothing changed on the disk; IO_ERROR or NO_SPACE when the disk fails.
   */
  static open(
    disk: Disk,
    folder: string,
    owner: LogOwner,
    options: Partial<LogOptions>,
    report: (line: string) => void,
  ): Persister {
    disk.createFolder(folder);
    const recovered = recoverLog(disk, folder, owner, report);
    // Before anything is written: a full disk may have no other room for that.
    removeFiles(disk, folder, recovered?.obsoletePaths ?? [], report);
    return new Persister(disk, folder, owner, { ...defaultLogOptions, ...options }, recovered);
  }

  private constructor(
    disk: Disk,
    folder: string,
    owner: LogOwner,
    options: LogOptions,
    recovered: RecoveredLog | undefined,
  ) {
    this.#folder = folder;
    this.#options = options;
    this.#map = recovered?.map ?? new LogMap();
    this.#tail = new EntryTail(options.tailBytesMax);
    this.#files = new SegmentFiles(disk, groupSeed(owner), options.openSegmentsMax);
    this.#writer = new LogWriter(disk, folder, owner, options, (error) => this.#die(error));
    this.#hardState = recovered?.hardState ?? noState;
    this.#hardStateWritten = this.#hardState;
    if (recovered === undefined) this.#beginLog();
    else {
      if (options.stored !== undefined) this.#dropStored(options.stored);
      this.#repeatLastGroup(disk, recovered);
    }
  }

  get firstIndex(): Index {
    return this.#map.firstIndex;
  }

  get lastIndex(): Index {
    return this.#map.lastIndex;
  }

  /** What the log takes on the disk, with the zeros written ahead. */
  get bytes(): number {
    let bytes = 0;
    for (const segment of this.#map.segments) bytes += segment.fileBytes;
    return bytes;
  }

  /** About how many bytes of it the entries after this one take; what is not written yet counts nothing. */
  bytesAfter(index: Index): number {
    return this.#map.bytesAfter(index);
  }

  /** The indexes of the configurations in [firstIndex, lastIndex], ascending; changes with the log. */
  get configurations(): readonly Index[] {
    return this.#map.configurations;
  }

  term(index: Index): Term | undefined {
    return this.#map.term(index);
  }

  /** Throws CORRUPTION when an old entry that has to be read from the disk is not what was written. */
  slice(from: Index, limit: Index, bytesMax: number): Entry[] {
    assert(from >= this.firstIndex, "entries that were dropped from the log are not asked for");
    const end = Math.min(limit, this.lastIndex + 1);
    const tailFrom = Math.min(end, this.#tail.firstIndex ?? end);
    const entries: Entry[] = [];
    let bytesLeft = bytesMax;
    let next = from;
    while (next < tailFrom && bytesLeft >= 0) {
      const segment = this.#map.segmentOf(next);
      bytesLeft = this.#files.read(segment, next, Math.min(tailFrom, segment.to), bytesLeft, entries);
      next = from + entries.length;
    }
    for (; next < end && bytesLeft >= 0; next++) {
      const entry = this.#tail.at(next);
      bytesLeft -= entry.data.length;
      if (bytesLeft >= 0 || entries.length === 0) entries.push(entry);
    }
    return entries;
  }

  /** What a node starts from. */
  readRaftState(): { hardState: HardState; firstIndex: Index; lastIndex: Index } {
    return { hardState: this.#hardState, firstIndex: this.firstIndex, lastIndex: this.lastIndex };
  }

  /**
   * Appends to the log and syncs it, beside the event loop. The entries start at most one after `lastIndex` and replace
   * everything from their first index on; the log shows them just before `done` runs, not earlier. One save at a
   * time; the entries are kept and must not change. With a `start` the log begins anew: a crash leaves the log as it
   * was or the new one (to one of its entries), never parts of both.
   *
   * After an error nothing is known about the file (a second sync does not repeat what the first one failed to do), so
   * the log is dead, and every later save reports the same error. `done` runs after this returned, but for an error.
   */
  saveRaftState(state: SavedState, done: Done): void {
    assert(!this.#isClosed, "a log is not written after it was closed");
    assert(this.#save === undefined, "one save at a time");
    this.#checkEntries(state);
    if (this.#dead !== undefined) {
      done(this.#dead);
      return;
    }
    const { entries, start } = state;
    const hardState = start === undefined ? state.hardState : this.#stateAnew(start, state.hardState);
    this.#save = { hardState, entries, start, done, parts: [], written: 0 };
    this.#writePart(this.#save);
  }

  /** The same as a save with a `start` and nothing else, but durable when it returns: for the time of opening. */
  restartSync(start: EntryId): void {
    assert(!this.#isClosed && this.#dead === undefined, "a log is not written after it ended");
    assert(this.#save === undefined, "one save at a time");
    const hardState = this.#stateAnew(start, undefined);
    try {
      writeHardState(this.#writer.startGroup(), hardState);
      const replaced = this.#showGroup(this.#writer.beginAnew(this.#startAfter(start)));
      this.#hardState = this.#hardStateWritten = hardState;
      this.#remove(replaced);
    } catch (error) {
      this.#die(error as Error);
      throw error;
    }
  }

  /**
   * Drops the oldest segment when it is not needed: one file at most, because that takes its time on the event loop.
   * Returns whether another call would drop another. A save may be under way. When the disk fails the log is dead, as
   * after a write that failed.
   */
  compact(keep: Keep): boolean {
    assert(!this.#isClosed, "a log is not written after it was closed");
    if (!this.#mayCompact(keep)) return false;
    const dropped = this.#map.dropFirst();
    try {
      this.#remove([dropped]);
    } catch (error) {
      this.#die(error as Error);
    }
    return this.#mayCompact(keep);
  }

  /** Gives the files back. A save under way is abandoned: it may be there later or not, and its `done` never runs. */
  close(): void {
    this.#isClosed = true;
    this.#save = undefined;
    this.#writer.close();
    this.#files.close();
  }

  /** As `compact` does, and only if the store was made from this log. */
  #dropStored({ applied, tailEntries, tailBytes }: StoredPart): void {
    if (this.#map.term(applied.index) !== applied.term) return;
    const keep = { upTo: applied.index, tailEntries, tailBytes };
    while (mayDropFirst(this.#map, keep)) this.#remove([this.#map.dropFirst()]);
  }

  /** An empty log starts with a group too, so that there is always one to repeat at the next start. */
  #beginLog(): void {
    writeHardState(this.#writer.startGroup(), noState);
    const place = this.#writer.begin({ firstIndex: 1, previousTerm: 0, hardState: noState }, 0, 0, 0);
    this.#showGroup(place);
  }

  /**
   * What was read back may be in the system's memory only: its writer may have died before the sync, or after one that
   * failed. Of the groups before it the last one is proof that they were synced; it gets a durable copy in a new segment,
   * which says that it follows the group before, so that the original counts no more.
   */
  #repeatLastGroup(disk: Disk, recovered: RecoveredLog): void {
    const { last } = recovered;
    const payload = readPayload(disk, last.path, last.offset + groupHeaderBytes, last.payloadBytes);
    const start: SegmentStart = {
      firstIndex: last.firstIndex,
      previousTerm: this.#map.term(last.firstIndex - 1)!,
      hardState: last.hardStateBefore,
    };
    this.#writer.startGroup().raw(payload);
    const replaced = this.#showGroup(this.#writer.begin(start, last.number, last.afterGroup, last.link));
    const records = new RecordReader(payload);
    while (records.next()) this.#map.append(records);
    // Segments whose groups were all replaced, so that restarts do not pile up files.
    this.#remove(replaced);
  }

  #remove(segments: readonly StoredSegment[]): void {
    this.#files.remove(
      this.#folder,
      segments.map(({ path }) => path),
    );
  }

  /** What a save under way replaces is not dropped: the log would begin again with what is replaced. */
  #mayCompact(keep: Keep): boolean {
    if (this.#dead !== undefined) return false;
    const savedFrom = this.#save?.entries[0]?.index ?? Number.POSITIVE_INFINITY;
    return mayDropFirst(this.#map, { ...keep, upTo: Math.min(keep.upTo, savedFrom - 1) });
  }

  #checkEntries({ entries, start }: SavedState): void {
    if (entries.length === 0) return;
    let index = entries[0]!.index;
    if (start !== undefined) assert(index === start.index + 1, "entries follow the start of the log");
    else {
      assert(index >= this.firstIndex, "entries that were dropped from the log are not replaced");
      assert(index <= this.lastIndex + 1, "entries follow the log without a gap");
    }
    for (const entry of entries) {
      assert(entry.index === index++, "entries follow each other without a gap");
      assert(entry.data.length <= entryDataBytesMax, "an entry fits into one group");
    }
  }

  /** Hands the next group of a save to the disk. */
  #writePart(save: Save): void {
    const { entries, written } = save;
    const entriesEnd = this.#partEnd(save);
    const start = this.#startOf(save);
    const writer = this.#writer.startGroup();
    const state = partState(save, entriesEnd);
    if (state !== undefined) {
      writeHardState(writer, state);
      this.#hardStateWritten = state;
    }
    for (let at = written; at < entriesEnd; at++) writeEntry(writer, entries[at]!);
    this.#writer.append(start, this.#beginningOf(save), (error, place) =>
      this.#partDone(save, entriesEnd, error, place),
    );
  }

  #beginningOf({ start, entries, written }: Save): Beginning {
    if (written > 0) return "when-full";
    if (start !== undefined) return "anew";
    const isReplacement = entries.length > 0 && entries[0]!.index <= this.lastIndex;
    return isReplacement ? "now" : "when-full";
  }

  /** As many entries as a group may take, but at least one. */
  #partEnd(save: Save): number {
    const { entries, written } = save;
    let end = written;
    let bytes = 0;
    while (end < entries.length) {
      bytes += entries[end]!.data.length + entryOverheadBytes;
      if (end > written && bytes > this.#options.groupBytesMax) break;
      end++;
    }
    return end;
  }

  /** What a segment says that begins with the next group of this save. */
  #startOf(save: Save): SegmentStart {
    const { entries, written, start } = save;
    if (written === 0 && start !== undefined) return this.#startAfter(start);
    const firstIndex = entries[written]?.index ?? this.lastIndex + 1;
    const previousTerm = written > 0 ? entries[written - 1]!.term : this.#map.term(firstIndex - 1)!;
    return { firstIndex, previousTerm, hardState: this.#hardStateWritten };
  }

  #startAfter({ index, term }: EntryId): SegmentStart {
    return { firstIndex: index + 1, previousTerm: term, hardState: this.#hardStateWritten };
  }

  /** The hard state of a log that begins anew: as it was, or as the save says, and decided up to the snapshot. */
  #stateAnew({ index }: EntryId, hardState: HardState | undefined): HardState {
    assert(index >= this.#hardState.commit, "a log does not begin anew before what was decided");
    const { term, vote, commit } = hardState ?? this.#hardState;
    return { term, vote, commit: Math.max(commit, index) };
  }

  #partDone(save: Save, entriesEnd: number, error: Error | undefined, place: GroupPlace | undefined): void {
    if (this.#isClosed || this.#save !== save) return;
    if (place === undefined) {
      this.#die(error!);
      return;
    }
    save.parts.push({ place, entriesEnd });
    save.written = entriesEnd;
    if (entriesEnd < save.entries.length) this.#writePart(save);
    else this.#finish(save);
  }

  #finish(save: Save): void {
    this.#save = undefined;
    const replaced: StoredSegment[] = [];
    let at = 0;
    for (const part of save.parts) {
      replaced.push(...this.#showGroup(part.place));
      for (; at < part.entriesEnd; at++) {
        const entry = save.entries[at]!;
        this.#map.append(entry);
        this.#tail.push(entry);
      }
    }
    this.#hardState = this.#hardStateWritten;
    try {
      this.#remove(replaced);
    } catch (error) {
      this.#die(error as Error);
    }
    save.done(this.#dead);
  }

  /**
   * Lets the log view see a group that is durable; its entries are appended to the map next. Returns the segments that
   * count no more, for their files to be removed.
   */
  #showGroup({ segment, begins, offset, limit }: GroupPlace): StoredSegment[] {
    let replaced: StoredSegment[] = [];
    if (begins) {
      replaced = this.#map.beginSegment(segment);
      this.#tail.truncate(isStartOfLog(segment.header) ? 0 : segment.header.firstIndex);
    }
    segment.addGroup(this.lastIndex + 1, offset, limit);
    return replaced;
  }

  #die(error: Error): void {
    this.#dead = error;
    const save = this.#save;
    this.#save = undefined;
    this.#writer.close();
    save?.done(error);
  }
}

/** A group that is not the last of its save must not claim a commit beyond its entries: the rest may never come. */
function partState(save: Save, entriesEnd: number): HardState | undefined {
  const { hardState, entries } = save;
  if (hardState === undefined || entriesEnd === entries.length) return hardState;
  return { ...hardState, commit: Math.min(hardState.commit, entries[entriesEnd - 1]!.index) };
}

function readPayload(disk: Disk, path: string, offset: number, length: number): Bytes {
  const file = disk.open(path, "read");
  try {
    return file.read(offset, length);
  } finally {
    file.close();
  }
}
