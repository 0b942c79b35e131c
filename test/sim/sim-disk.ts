import type { Disk, DiskFile, DiskLock } from "../../src/env/disk.ts";
import type { Prng } from "../../src/env/prng.ts";
import { assert } from "../../src/lib/assert.ts";
import type { Bytes } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import type { Fate } from "./plan.ts";
import { SimFile, type UnsyncedWrite } from "./sim-file.ts";
import type { SimProcess } from "./sim-process.ts";
import type { Timeline } from "./timeline.ts";

/** How a disk is at the moment; incidents change it. Times in ms. */
export interface DiskWeather {
  /** A durable write beside the event loop takes so long. */
  writeMsMin: number;
  writeMsMax: number;
  /** A sync inside of the event loop stops its process for so long. */
  syncMsMin: number;
  syncMsMax: number;
  /** Durable writes do not end. */
  isHung: boolean;
  /** Syncs of the store's worker do not end before this moment; and the same of a sync that has met that. */
  storeHangsUntilMs: number;
  storeHeldUntilMs: number;
  /** Files and names cannot grow. */
  isFull: boolean;
  /** Syncs and durable writes fail; how much of them has arrived shows after the next power cut. */
  failSyncs: boolean;
}

/** A hung write looks so often whether it may end. */
const hungPollMs = 10;

/**
 * Thrown by the operation at which the machine stops, and by all later ones of that process; nothing of them has happened. To the
 * process it is one more failure of the disk: whatever it makes of it, nobody hears of it any more.
 */
export class PowerCut extends KvraftError {
  constructor(text: string) {
    super("IO_ERROR", text);
  }
}

type NameChange = (names: Map<string, SimFile>) => void;

/**
 * A machine's disk, which outlives its processes and forgets like a real one: bytes until they are synced, names until
 * their folder is. Folders themselves are durable when they are made (see Disk.createFolder). After a kill the next process sees
 * all that was written, and none of it is any more durable for that.
 */
export class SimDisk {
  readonly counts = {
    writes: 0,
    durableWrites: 0,
    syncs: 0,
    folderSyncs: 0,
    /** Operations that a disk which hangs, is full or fails held up or refused. */
    hindered: 0,
    /** Processes that were stopped at an operation. */
    stops: 0,
    flips: 0,
    wipes: 0,
  };
  readonly #timeline: Timeline;
  readonly #prng: Prng;
  readonly #fates: Prng;
  readonly #weather: DiskWeather;
  #names = new Map<string, SimFile>();
  #durableNames = new Map<string, SimFile>();
  /** Changes of names by folder, since its last sync, oldest first. */
  readonly #unsyncedNames = new Map<string, NameChange[]>();
  readonly #locks = new Map<string, SimProcess>();
  #stop: { readonly text: string; operations: number; readonly stop: () => void } | undefined;

  constructor(timeline: Timeline, prng: Prng, weather: DiskWeather) {
    this.#timeline = timeline;
    this.#prng = prng.fork();
    this.#fates = prng.fork();
    this.#weather = weather;
  }

  /** The disk as one process sees it. */
  of(process: SimProcess): Disk {
    return new ProcessDisk(this, process);
  }

  /** The process is dead. Its writes under way were taken by the system, which never says what became of them. */
  killed(process: SimProcess): void {
    for (const file of this.#names.values()) file.underWay.clear();
    for (const [path, holder] of this.#locks) if (holder === process) this.#locks.delete(path);
  }

  /** The machine is without power: what was not synced is lost, or kept, or torn. */
  powerCut(fate: Fate): void {
    for (const changes of this.#unsyncedNames.values()) this.#cutNames(changes, fate);
    this.#unsyncedNames.clear();
    this.#names = new Map(this.#durableNames);
    for (const file of this.#names.values()) file.powerCut(fate, this.#fates);
    this.#locks.clear();
  }

  /** Another disk takes its place, with nothing on it. No process uses it. */
  wipe(): void {
    this.counts.wipes++;
    this.#unsyncedNames.clear();
    this.#names = new Map();
    this.#durableNames = new Map();
    this.#locks.clear();
  }

  /** Puts files there, durably. No process uses it. */
  load(files: ReadonlyMap<string, Bytes>): void {
    for (const [path, bytes] of files) {
      const file = new SimFile();
      file.write(0, bytes);
      file.sync();
      this.#names.set(path, file);
      this.#durableNames.set(path, file);
    }
  }

  /** Damages what is stored, and what is seen of it. */
  flip(path: string, offset: number, bit: number): void {
    this.counts.flips++;
    this.#file("damage", path).flip(offset, bit);
  }

  /**
   * Lets so many more operations happen that have this text in them, such as "rename data/store/MANIFEST", and calls `stop`
   * before the next one; a process that is dead then does not get there.
   */
  stopAt(text: string, operations: number, stop: () => void): void {
    this.#stop = { text, operations, stop };
  }

  /** All files, as they are seen. */
  files(): Map<string, Bytes> {
    return new Map([...this.#names].map(([path, file]) => [path, file.bytes]));
  }

  // ---- for processes ----

  /** Before anything that changes the disk. A process that has died in the middle of an event changes nothing more. */
  operate(process: SimProcess, operation: string): void {
    if (!process.isAlive) throw new PowerCut(`${process.name} is without power`);
    const stop = this.#stop;
    if (stop === undefined || !operation.includes(stop.text) || --stop.operations >= 0) return;
    this.#stop = undefined;
    this.counts.stops++;
    stop.stop();
    if (!process.isAlive) throw new PowerCut(`${process.name} loses power before it can ${operation}`);
  }

  list(folder: string): string[] {
    const names: string[] = [];
    for (const path of this.#names.keys())
      if (folderOf(path) === folder) names.push(path.slice(folder.length + 1));
    return names.sort();
  }

  find(path: string): SimFile | undefined {
    return this.#names.get(path);
  }

  open(path: string, isNew: boolean): SimFile {
    if (!isNew) return this.#file("open", path);
    if (this.#names.has(path))
      throw new KvraftError("IO_ERROR", `Cannot create "${path}": it exists already`);
    this.#needRoom("create", path);
    const file = new SimFile();
    this.#change(path, (names) => names.set(path, file));
    return file;
  }

  rename(from: string, to: string): void {
    const file = this.#file("rename", from);
    this.#change(to, (names) => {
      names.delete(from);
      names.set(to, file);
    });
  }

  remove(path: string): void {
    if (!this.#names.has(path)) return;
    this.#change(path, (names) => names.delete(path));
  }

  syncFolder(process: SimProcess, path: string): void {
    this.counts.folderSyncs++;
    this.#stall(process);
    if (this.#weather.failSyncs) throw this.#failed("sync the folder", path);
    for (const change of this.#unsyncedNames.get(path) ?? []) change(this.#durableNames);
    this.#unsyncedNames.delete(path);
  }

  write(file: SimFile, path: string, offset: number, bytes: Bytes): UnsyncedWrite {
    this.counts.writes++;
    if (offset + bytes.length > file.bytes.length && this.#weather.isFull) {
      file.write(offset, bytes.subarray(0, this.#prng.int(0, bytes.length)));
      this.#needRoom("write", path);
    }
    return file.write(offset, bytes);
  }

  sync(process: SimProcess, file: SimFile, path: string): void {
    this.counts.syncs++;
    this.#stall(process);
    if (this.#weather.failSyncs) throw this.#failed("sync", path);
    file.sync();
  }

  writeDurably(
    process: SimProcess,
    file: SimFile,
    path: string,
    offset: number,
    bytes: Bytes,
    done: (error?: Error) => void,
  ): void {
    this.counts.durableWrites++;
    for (const other of file.underWay) {
      const isApart = offset + bytes.length <= other.offset || other.offset + other.bytes.length <= offset;
      assert(isApart, `writes under way together do not overlap, their order is open: "${path}"`);
    }
    let write: UnsyncedWrite | undefined;
    let error: KvraftError | undefined;
    try {
      write = this.write(file, path, offset, bytes);
      file.underWay.add(write);
    } catch (failure) {
      error = failure as KvraftError;
    }
    const end = (): void => {
      if (this.#weather.isHung) {
        this.counts.hindered++;
        this.#timeline.after(hungPollMs, process, end);
        return;
      }
      if (write !== undefined) file.underWay.delete(write);
      if (this.#weather.failSyncs) error ??= this.#failed("write", path);
      if (error === undefined && write !== undefined) file.harden(write);
      done(error);
    };
    this.#timeline.at(process.nowMs + this.#between("writeMs"), process, end);
  }

  lock(process: SimProcess, path: string): DiskLock | undefined {
    const holder = this.#locks.get(path);
    if (holder?.isAlive === true) return undefined;
    this.#locks.set(path, process);
    return {
      release: () => {
        if (this.#locks.get(path) === process) this.#locks.delete(path);
      },
    };
  }

  /** A file system with a journal keeps the first so many changes; another one any of them, all but one for example. */
  #cutNames(changes: readonly NameChange[], fate: Fate): void {
    if (fate === "lost") return;
    const how = fate === "kept" ? "all" : this.#fates.pick(["first", "any", "all but one"] as const);
    const chosen = this.#fates.int(0, changes.length - (how === "all but one" ? 1 : 0));
    for (const [at, change] of changes.entries()) {
      const isKept =
        how === "all" ||
        (how === "first" && at < chosen) ||
        (how === "any" && this.#fates.chance(1, 2)) ||
        (how === "all but one" && at !== chosen);
      if (isKept) change(this.#durableNames);
    }
  }

  #change(path: string, change: NameChange): void {
    change(this.#names);
    const folder = folderOf(path);
    const changes = this.#unsyncedNames.get(folder);
    if (changes === undefined) this.#unsyncedNames.set(folder, [change]);
    else changes.push(change);
  }

  #stall(process: SimProcess): void {
    process.spend(this.#between("syncMs"));
    const { storeHangsUntilMs } = this.#weather;
    if (!process.isThread || storeHangsUntilMs <= process.nowMs) return;
    this.counts.hindered++;
    process.spend(storeHangsUntilMs - process.nowMs);
    this.#weather.storeHeldUntilMs = storeHangsUntilMs;
  }

  #failed(action: string, path: string): KvraftError {
    this.counts.hindered++;
    return failed(action, path);
  }

  #between(what: "writeMs" | "syncMs"): number {
    const [min, max] = [this.#weather[`${what}Min`], this.#weather[`${what}Max`]];
    return min + ((max - min) * this.#prng.int(0, 1000)) / 1000;
  }

  #needRoom(action: string, path: string): void {
    if (!this.#weather.isFull) return;
    this.counts.hindered++;
    throw new KvraftError(
      "NO_SPACE",
      `Cannot ${action} "${path}": no space is left; free some, and start again`,
    );
  }

  #file(action: string, path: string): SimFile {
    const file = this.#names.get(path);
    if (file === undefined)
      throw new KvraftError("NOT_FOUND", `Cannot ${action} "${path}": there is no such file`);
    return file;
  }
}

class ProcessDisk implements Disk {
  readonly #disk: SimDisk;
  readonly #process: SimProcess;

  constructor(disk: SimDisk, process: SimProcess) {
    this.#disk = disk;
    this.#process = process;
  }

  createFolder(): void {}

  list(path: string): string[] {
    return this.#disk.list(path);
  }

  exists(path: string): boolean {
    return this.#disk.find(path) !== undefined;
  }

  read(path: string): Bytes | undefined {
    return this.#disk.find(path)?.bytes.slice();
  }

  open(path: string, mode: "create" | "write" | "read"): DiskFile {
    if (mode === "create") this.#disk.operate(this.#process, `create ${path}`);
    return new ProcessFile(this.#disk, this.#process, this.#disk.open(path, mode === "create"), path);
  }

  rename(from: string, to: string): void {
    this.#disk.operate(this.#process, `rename ${to}`);
    this.#disk.rename(from, to);
  }

  remove(path: string): void {
    this.#disk.operate(this.#process, `remove ${path}`);
    this.#disk.remove(path);
  }

  syncFolder(path: string): void {
    this.#disk.operate(this.#process, `sync-folder ${path}`);
    this.#disk.syncFolder(this.#process, path);
  }

  lock(path: string): DiskLock | undefined {
    return this.#disk.lock(this.#process, path);
  }
}

class ProcessFile implements DiskFile {
  readonly #disk: SimDisk;
  readonly #process: SimProcess;
  readonly #file: SimFile;
  readonly #path: string;
  #isClosed = false;

  constructor(disk: SimDisk, process: SimProcess, file: SimFile, path: string) {
    this.#disk = disk;
    this.#process = process;
    this.#file = file;
    this.#path = path;
  }

  size(): number {
    return this.#used().bytes.length;
  }

  read(offset: number, length: number): Bytes {
    assert(
      Number.isInteger(offset) && Number.isInteger(length),
      "a disk reads whole bytes, as a real one does",
    );
    return this.#used().bytes.slice(offset, offset + length);
  }

  write(offset: number, bytes: Bytes): void {
    this.#disk.operate(this.#process, `write ${this.#path}`);
    this.#disk.write(this.#used(), this.#path, offset, bytes);
  }

  sync(): void {
    this.#disk.operate(this.#process, `sync ${this.#path}`);
    this.#disk.sync(this.#process, this.#used(), this.#path);
  }

  writeDurably(offset: number, bytes: Bytes, done: (error?: Error) => void): void {
    this.#disk.operate(this.#process, `write ${this.#path}`);
    this.#disk.writeDurably(this.#process, this.#used(), this.#path, offset, bytes, done);
  }

  close(): void {
    this.#isClosed = true;
  }

  #used(): SimFile {
    assert(!this.#isClosed, "a file is used before it is closed");
    return this.#file;
  }
}

function failed(action: string, path: string): KvraftError {
  return new KvraftError(
    "IO_ERROR",
    `Cannot ${action} "${path}": the disk has failed; check it, and start again`,
  );
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
