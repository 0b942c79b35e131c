import type { Disk } from "../env/disk.ts";
import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import type { Entry, HardState, Index, LogView, Term } from "../raft/types.ts";
import { EntryTail } from "./entry-tail.ts";
import { groupHeaderBytes, groupSeed } from "./group.ts";
import { LogMap } from "./log-map.ts";
import { type GroupPlace, LogWriter, type SegmentStart } from "./log-writer.ts";
import { defaultLogOptions, type LogOptions, type LogOwner } from "./options.ts";
import {
  entryDataBytesMax,
  entryOverheadBytes,
  RecordReader,
  writeEntry,
  writeHardState,
} from "./records.ts";
import { type RecoveredLog, recoverLog } from "./recovery.ts";
import { isUnfinishedName } from "./segment.ts";
import { SegmentFiles } from "./segment-files.ts";

export interface SavedState {
  /** Undefined when it has not changed since the last save. */
  readonly hardState: HardState | undefined;
  readonly entries: readonly Entry[];
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
    for (const name of disk.list(folder)) {
      if (!isUnfinishedName(name)) continue;
      disk.remove(`${folder}/${name}`);
      report(
        `Removed "${folder}/${name}": a segment that was never finished, so nothing in it was acknowledged`,
      );
    }
    return new Persister(disk, folder, owner, { ...defaultLogOptions, ...options }, recovered);
  }

  private constructor(
    disk: Disk,
    folder: string,
    owner: LogOwner,
    options: LogOptions,
    recovered: RecoveredLog | undefined,
  ) {
    this.#options = options;
    this.#map = recovered?.map ?? new LogMap();
    this.#tail = new EntryTail(options.tailBytesMax);
    this.#files = new SegmentFiles(disk, groupSeed(owner), options.openSegmentsMax);
    this.#writer = new LogWriter(disk, folder, owner, options, (error) => this.#die(error));
    this.#hardState = recovered?.hardState ?? noState;
    this.#hardStateWritten = this.#hardState;
    if (recovered === undefined) this.#beginLog();
    else this.#repeatLastGroup(disk, folder, recovered);
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
   * time; the entries are kept and must not change.
   *
   * After an error nothing is known about the file (a second sync does not repeat what the first one failed to do), so
   * the log is dead, and every later save reports the same error. `done` runs after this returned, but for an error.
   */
  saveRaftState(state: SavedState, done: Done): void {
    assert(!this.#isClosed, "a log is not written after it was closed");
    assert(this.#save === undefined, "one save at a time");
    this.#checkEntries(state.entries);
    if (this.#dead !== undefined) {
      done(this.#dead);
      return;
    }
    this.#save = { hardState: state.hardState, entries: state.entries, done, parts: [], written: 0 };
    this.#writePart(this.#save);
  }

  /** Gives the files back. A save under way is abandoned: it may be there later or not, and its `done` never runs. */
  close(): void {
    this.#isClosed = true;
    this.#save = undefined;
    this.#writer.close();
    this.#files.close();
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
  #repeatLastGroup(disk: Disk, folder: string, recovered: RecoveredLog): void {
    const { last, obsoletePaths } = recovered;
    const payload = readPayload(disk, last.path, last.offset + groupHeaderBytes, last.payloadBytes);
    const start: SegmentStart = {
      firstIndex: last.firstIndex,
      previousTerm: this.#map.term(last.firstIndex - 1)!,
      hardState: last.hardStateBefore,
    };
    this.#writer.startGroup().raw(payload);
    this.#showGroup(this.#writer.begin(start, last.number, last.afterGroup, last.link));
    const records = new RecordReader(payload);
    while (records.next()) this.#map.append(records.index, records.term);
    this.#removeObsolete(disk, folder, last.afterGroup, obsoletePaths);
  }

  /** Removes the segments whose groups were all replaced, so that restarts do not pile up files. */
  #removeObsolete(disk: Disk, folder: string, afterGroup: number, obsoletePaths: readonly string[]): void {
    const newest = this.#map.segments.length - 1;
    const repeated = this.#map.segments.filter(
      (one, at) => at < newest && one.header.firstGroup > afterGroup,
    );
    for (const segment of repeated) this.#map.forget(segment);
    const paths = [...repeated.map((segment) => segment.path), ...obsoletePaths];
    for (const path of paths) disk.remove(path);
    if (paths.length > 0) disk.syncFolder(folder);
  }

  #checkEntries(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    let index = entries[0]!.index;
    assert(index >= this.firstIndex, "entries that were dropped from the log are not replaced");
    assert(index <= this.lastIndex + 1, "entries follow the log without a gap");
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
    const isReplacement = written === 0 && start.firstIndex <= this.lastIndex;
    this.#writer.append(start, isReplacement, (error, place) =>
      this.#partDone(save, entriesEnd, error, place),
    );
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
    const { entries, written } = save;
    const firstIndex = entries[written]?.index ?? this.lastIndex + 1;
    const previousTerm = written > 0 ? entries[written - 1]!.term : this.#map.term(firstIndex - 1)!;
    return { firstIndex, previousTerm, hardState: this.#hardStateWritten };
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
    let at = 0;
    for (const part of save.parts) {
      this.#showGroup(part.place);
      for (; at < part.entriesEnd; at++) {
        const entry = save.entries[at]!;
        this.#map.append(entry.index, entry.term);
        this.#tail.push(entry);
      }
    }
    this.#hardState = this.#hardStateWritten;
    save.done();
  }

  /** Lets the log view see a group that is durable; its entries are appended to the map next. */
  #showGroup(place: GroupPlace): void {
    if (place.begins) {
      this.#map.beginSegment(place.segment);
      this.#tail.truncate(place.segment.header.firstIndex);
    }
    place.segment.addGroup(this.lastIndex + 1, place.offset, place.limit);
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
