import type { Disk, DiskFile, DiskLock } from "../../src/env/disk.ts";
import type { Prng } from "../../src/env/prng.ts";
import { assert } from "../../src/lib/assert.ts";
import type { Bytes } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";

/** Thrown by the operation at which the machine stops; nothing of that operation has happened. */
export class PowerCut extends Error {}

/** What a crash does to what was not synced. */
export type Fate = "lost" | "kept" | "torn";

/** Disks write sectors whole: a torn write is some sectors new and the others old. */
const sectorBytes = 512;

interface Write {
  readonly offset: number;
  readonly bytes: Bytes;
}

/** Bytes that grow at the end without being copied each time. */
class Content {
  #bytes: Bytes = new Uint8Array(0);
  #length = 0;

  view(): Bytes {
    return this.#bytes.subarray(0, this.#length);
  }

  put({ offset, bytes }: Write): void {
    const limit = offset + bytes.length;
    if (limit > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(limit, 2 * this.#bytes.length));
      grown.set(this.view());
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, offset);
    this.#length = Math.max(this.#length, limit);
  }
}

/** A file's content: as a process sees it, and as it survives. */
class Inode {
  readonly content = new Content();
  readonly durable = new Content();
  unsynced: Write[] = [];

  /** A file that begins with these bytes, all of them durable. */
  static of(bytes: Bytes): Inode {
    const inode = new Inode();
    inode.content.put({ offset: 0, bytes });
    inode.durable.put({ offset: 0, bytes });
    return inode;
  }
}

type NameChange = (names: Map<string, Inode>) => void;

interface Pending {
  readonly inode: Inode;
  readonly write: Write;
  readonly done: (error?: Error) => void;
}

/**
 * A disk in memory that forgets like a real one: bytes until they are synced, names until their folder is. Durable
 * writes end one by one, when a test says so. Every operation is counted, and any of them can fail or be the last.
 */
export class CrashDisk implements Disk {
  /** Operations that change something, and the number of the one that throws PowerCut instead. */
  operations = 0;
  powerCutAt = Number.POSITIVE_INFINITY;
  /** Whether it has thrown PowerCut, which not everybody passes on. */
  wasCut = false;
  /** Files that are open now. */
  openFiles = 0;
  /** Bytes that were read, and handed to be written. */
  bytesRead = 0;
  bytesWritten = 0;
  /** Set by a test: fails a matching operation with this error. */
  failure: ((action: string, path: string) => KvraftError | undefined) | undefined;
  /** Bytes that one write may have, for the sake of seeing none that is unbounded. */
  largestRead = 0;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  /** Changes of names by folder, since its last sync. */
  readonly #unsyncedNames = new Map<string, NameChange[]>();
  #pending: Pending[] = [];

  get pendingCount(): number {
    return this.#pending.length;
  }

  /** Ends the oldest durable write. */
  runOne(): void {
    const { inode, write, done } = this.#pending[0]!;
    this.#count("finish", "");
    this.#pending.shift();
    inode.durable.put(write);
    inode.unsynced.splice(inode.unsynced.indexOf(write), 1);
    done();
  }

  /** Ends all durable writes, also those that begin while it does. */
  run(): void {
    while (this.#pending.length > 0) this.runOne();
  }

  /** Ends the oldest durable write with an error; how much of it arrived is up to the next crash. */
  failOne(error: KvraftError): void {
    this.#pending.shift()!.done(error);
  }

  /** The same for the youngest. */
  failLast(error: KvraftError): void {
    this.#pending.pop()!.done(error);
  }

  /**
   * The disk as the next start finds it. Nothing of this one runs any more. `keepsName` says of each change of a name
   * whether it is kept; the fate of the bytes decides that as well when there is none.
   */
  crash(fate: Fate, prng: Prng, keepsName?: () => boolean): CrashDisk {
    const next = new CrashDisk();
    const keeps = (): boolean => fate === "kept" || (fate === "torn" && prng.chance(1, 2));
    for (const changes of this.#unsyncedNames.values()) {
      for (const change of changes) if ((keepsName ?? keeps)()) change(this.#durableNames);
    }
    for (const [path, inode] of this.#durableNames) {
      for (const write of inode.unsynced) keepPart(inode, write, keeps);
      const survivor = Inode.of(inode.durable.view());
      next.#names.set(path, survivor);
      next.#durableNames.set(path, survivor);
    }
    this.#pending = [];
    this.powerCutAt = 0;
    return next;
  }

  /** A process that dies without its machine: the system still has, and still writes, all that it was given. */
  kill(): CrashDisk {
    const next = new CrashDisk();
    next.#names = this.#names;
    next.#durableNames = this.#durableNames;
    for (const [folder, changes] of this.#unsyncedNames) next.#unsyncedNames.set(folder, changes);
    this.#pending = [];
    this.powerCutAt = 0;
    return next;
  }

  /** For damage: the content of a file, to be changed in place. */
  raw(path: string): Bytes {
    return this.#inode("open", path).content.view();
  }

  /** For damage: replaces a file's content, durably. */
  replace(path: string, content: Bytes): void {
    this.remove(path);
    this.#change(path, (names) => names.set(path, Inode.of(content)));
    this.syncFolder(folderOf(path));
  }

  /** All files with a hash of their content, to compare. */
  snapshot(): Map<string, string> {
    const files = new Map<string, string>();
    for (const [path, inode] of this.#names) files.set(path, Bun.hash(inode.content.view()).toString(16));
    return files;
  }

  /** A disk with the same durable content that can be damaged alone. */
  copy(): CrashDisk {
    const next = new CrashDisk();
    for (const [path, inode] of this.#names) {
      const twin = Inode.of(inode.content.view());
      next.#names.set(path, twin);
      next.#durableNames.set(path, twin);
    }
    return next;
  }

  createFolder(path: string): void {
    this.#count("createFolder", path);
  }

  list(path: string): string[] {
    const names: string[] = [];
    for (const name of this.#names.keys()) {
      if (folderOf(name) === path) names.push(name.slice(path.length + 1));
    }
    return names.sort();
  }

  exists(path: string): boolean {
    return this.#names.has(path);
  }

  read(path: string): Bytes | undefined {
    return this.#names.get(path)?.content.view().slice();
  }

  open(path: string, mode: "create" | "write" | "read"): DiskFile {
    if (mode === "create") {
      this.#count("create", path);
      if (this.#names.has(path)) throw new KvraftError("IO_ERROR", `Cannot create "${path}": it exists`);
      const inode = new Inode();
      this.#change(path, (names) => names.set(path, inode));
      return new CrashFile(this, inode, path);
    }
    return new CrashFile(this, this.#inode("open", path), path);
  }

  rename(from: string, to: string): void {
    this.#count("rename", from);
    const inode = this.#inode("rename", from);
    this.#change(to, (names) => {
      names.delete(from);
      names.set(to, inode);
    });
  }

  remove(path: string): void {
    this.#count("remove", path);
    this.#change(path, (names) => names.delete(path));
  }

  syncFolder(path: string): void {
    this.#count("syncFolder", path);
    for (const change of this.#unsyncedNames.get(path) ?? []) change(this.#durableNames);
    this.#unsyncedNames.delete(path);
  }

  lock(): DiskLock | undefined {
    return { release() {} };
  }

  readFrom(inode: Inode, offset: number, length: number): Bytes {
    this.largestRead = Math.max(this.largestRead, length);
    const bytes = inode.content.view().slice(offset, offset + length);
    this.bytesRead += bytes.length;
    return bytes;
  }

  writeTo(inode: Inode, path: string, offset: number, bytes: Bytes): Write {
    this.#count("write", path);
    this.bytesWritten += bytes.length;
    const write = { offset, bytes: bytes.slice() };
    inode.content.put(write);
    inode.unsynced.push(write);
    return write;
  }

  sync(inode: Inode, path: string): void {
    this.#count("sync", path);
    for (const write of inode.unsynced) inode.durable.put(write);
    inode.unsynced = [];
  }

  writeDurablyTo(inode: Inode, path: string, offset: number, bytes: Bytes, done: Pending["done"]): void {
    for (const { inode: other, write } of this.#pending) {
      const isApart = offset + bytes.length <= write.offset || write.offset + write.bytes.length <= offset;
      assert(
        other !== inode || isApart,
        "writes that are under way together do not overlap: their order is open",
      );
    }
    this.#pending.push({ inode, write: this.writeTo(inode, path, offset, bytes), done });
  }

  #count(action: string, path: string): void {
    if (this.operations >= this.powerCutAt) {
      this.wasCut = true;
      throw new PowerCut(`${action} ${path}`);
    }
    this.operations++;
    const failure = this.failure?.(action, path);
    if (failure !== undefined) throw failure;
  }

  #change(path: string, change: NameChange): void {
    change(this.#names);
    const folder = folderOf(path);
    const changes = this.#unsyncedNames.get(folder) ?? [];
    changes.push(change);
    this.#unsyncedNames.set(folder, changes);
  }

  #inode(action: string, path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw new KvraftError("NOT_FOUND", `Cannot ${action} "${path}": there is none`);
    return inode;
  }
}

class CrashFile implements DiskFile {
  readonly #disk: CrashDisk;
  readonly #inode: Inode;
  readonly #path: string;
  #isClosed = false;

  constructor(disk: CrashDisk, inode: Inode, path: string) {
    this.#disk = disk;
    this.#inode = inode;
    this.#path = path;
    disk.openFiles++;
  }

  size(): number {
    return this.#inode.content.view().length;
  }

  read(offset: number, length: number): Bytes {
    assert(!this.#isClosed, "a file is used before it is closed");
    assert(
      Number.isInteger(offset) && Number.isInteger(length),
      "a disk reads whole bytes, as a real one does",
    );
    return this.#disk.readFrom(this.#inode, offset, length);
  }

  write(offset: number, bytes: Bytes): void {
    assert(!this.#isClosed, "a file is used before it is closed");
    this.#disk.writeTo(this.#inode, this.#path, offset, bytes);
  }

  sync(): void {
    this.#disk.sync(this.#inode, this.#path);
  }

  writeDurably(offset: number, bytes: Bytes, done: (error?: Error) => void): void {
    assert(!this.#isClosed, "a file is used before it is closed");
    this.#disk.writeDurablyTo(this.#inode, this.#path, offset, bytes, done);
  }

  close(): void {
    if (!this.#isClosed) this.#disk.openFiles--;
    this.#isClosed = true;
  }
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

/** Lets some sectors of a write reach the disk. */
function keepPart(inode: Inode, write: Write, keeps: () => boolean): void {
  const limit = write.offset + write.bytes.length;
  for (let from = write.offset; from < limit; ) {
    const to = Math.min(limit, (Math.floor(from / sectorBytes) + 1) * sectorBytes);
    const bytes = write.bytes.subarray(from - write.offset, to - write.offset);
    if (keeps()) inode.durable.put({ offset: from, bytes });
    from = to;
  }
}
