import type { Disk, DiskFile, DiskLock } from "../../src/env/disk.ts";
import { assert } from "../../src/lib/assert.ts";
import { type Bytes, emptyBytes } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";

/** Thrown in place of the step at which the machine dies. */
export class PowerCut extends Error {
  override readonly name = "PowerCut";
}

interface Inode {
  isFolder: boolean;
  written: Bytes;
  synced: Bytes;
}

/** A change of names that a crash may lose until the folder is synced; a rename is one change. */
interface NameChange {
  readonly folder: string;
  readonly lost: string | undefined;
  readonly got: { readonly path: string; readonly inode: Inode } | undefined;
}

/**
 * A disk that forgets in a crash what was not synced. `images()` are all the disks that a crash now may leave: every
 * subset of the unsynced changes of names, with unsynced content gone, half there, or all there.
 */
export class MemoryDisk implements Disk {
  /** Steps that change something, so far. */
  steps = 0;
  /** The step that does not happen any more. */
  cutAt = Infinity;
  /** Called before each step; may throw what a disk throws. */
  beforeStep: ((action: string, path: string) => void) | undefined;
  readonly #names: Map<string, Inode>;
  readonly #durable: Map<string, Inode>;
  #pending: NameChange[] = [];
  readonly #locks = new Set<string>();

  constructor(names: ReadonlyMap<string, Inode> = new Map()) {
    // Files of their own: what happens on one disk must not show on another made of the same image.
    const own = Array.from(names, ([path, inode]) => [path, { ...inode }] as const);
    this.#names = new Map(own);
    this.#durable = new Map(own);
  }

  createFolder(path: string): void {
    if (this.#names.has(path)) return;
    this.#step("create the folder", path);
    const inode = { isFolder: true, written: emptyBytes, synced: emptyBytes };
    this.#names.set(path, inode);
    this.#durable.set(path, inode);
  }

  list(path: string): string[] {
    const prefix = `${path}/`;
    const names: string[] = [];
    for (const [name, inode] of this.#names)
      if (!inode.isFolder && name.startsWith(prefix)) names.push(name.slice(prefix.length));
    return names.sort();
  }

  exists(path: string): boolean {
    return this.#names.has(path);
  }

  read(path: string): Bytes | undefined {
    return this.#names.get(path)?.written.slice();
  }

  open(path: string, mode: "create" | "write" | "read"): DiskFile {
    const found = this.#names.get(path);
    if (mode !== "create") {
      if (found === undefined)
        throw new KvraftError("NOT_FOUND", `Cannot open "${path}": there is no such file`);
      return this.#file(path, found);
    }
    if (found !== undefined) throw new KvraftError("IO_ERROR", `Cannot create "${path}": it exists`);
    assert(this.#names.has(parent(path)), `the folder of "${path}" exists`);
    this.#step("create", path);
    const inode = { isFolder: false, written: emptyBytes, synced: emptyBytes };
    this.#change({ folder: parent(path), lost: undefined, got: { path, inode } });
    return this.#file(path, inode);
  }

  rename(from: string, to: string): void {
    this.#step("rename", from);
    const inode = this.#names.get(from);
    assert(inode !== undefined && parent(from) === parent(to), "a rename inside a folder");
    this.#change({ folder: parent(to), lost: from, got: { path: to, inode } });
  }

  remove(path: string): void {
    if (!this.#names.has(path)) return;
    this.#step("remove", path);
    this.#change({ folder: parent(path), lost: path, got: undefined });
  }

  syncFolder(path: string): void {
    this.#step("sync the folder", path);
    for (const change of this.#pending) if (change.folder === path) apply(change, this.#durable);
    this.#pending = this.#pending.filter((change) => change.folder !== path);
  }

  lock(path: string): DiskLock | undefined {
    if (this.#locks.has(path)) return undefined;
    this.#locks.add(path);
    return { release: () => this.#locks.delete(path) };
  }

  /** Overwrites a file behind everybody's back. */
  damage(path: string, bytes: Bytes): void {
    const inode = this.#names.get(path);
    assert(inode !== undefined, "the file exists");
    inode.written = bytes;
    inode.synced = bytes;
  }

  /** What a new process finds after the old one was killed: everything written, synced or not, and no lock. */
  killProcess(): void {
    this.cutAt = Infinity;
    this.#locks.clear();
  }

  /** Another disk that is as this one is now, synced or not, and that nobody has locked. */
  fork(): MemoryDisk {
    const fork = new MemoryDisk();
    const twins = new Map<Inode, Inode>();
    const twin = (inode: Inode): Inode => {
      const known = twins.get(inode) ?? { ...inode };
      twins.set(inode, known);
      return known;
    };
    for (const [path, inode] of this.#names) fork.#names.set(path, twin(inode));
    for (const [path, inode] of this.#durable) fork.#durable.set(path, twin(inode));
    fork.#pending = this.#pending.map((change) => ({
      ...change,
      got: change.got && { path: change.got.path, inode: twin(change.got.inode) },
    }));
    return fork;
  }

  /** What is left when the machine is shut down in peace. */
  atPeace(): MemoryDisk {
    return new MemoryDisk(survivors(this.#names, "nothing"));
  }

  /** The same for disks that are the same, now and after a crash; another one for others, as sure as a hash is. */
  fingerprint(): string {
    const durable = describeNames(this.#durable);
    const pending = this.#pending.map(({ lost, got }) =>
      [lost, got?.path, got && describe(got.inode)].join("|"),
    );
    return [durable, ...pending].join("\n");
  }

  /** With `subsetsMax` not every subset is tried but so many, evenly spaced, with none and all of the changes. */
  *images(subsetsMax = Infinity): IterableIterator<MemoryDisk> {
    const all = 2 ** this.#pending.length - 1;
    assert(Math.min(all, subsetsMax) < 2 ** pendingMax, "few enough changes to try every subset");
    const count = Math.min(all, subsetsMax - 1);
    for (let at = 0; at <= count; at++) {
      const subset = count === 0 ? 0 : Math.round((at * all) / count);
      const names = new Map(this.#durable);
      this.#pending.forEach((change, at) => {
        if ((subset >> at) & 1) apply(change, names);
      });
      const isSynced = [...names.values()].every((inode) => inode.written === inode.synced);
      const fates = isSynced ? (["nothing"] as const) : (["all", "half", "nothing"] as const);
      for (const lost of fates) yield new MemoryDisk(survivors(names, lost));
    }
  }

  #file(path: string, inode: Inode): DiskFile {
    return {
      size: () => inode.written.length,
      read: (offset, length) => inode.written.slice(offset, offset + length),
      write: (offset, bytes) => {
        this.#step("write", path);
        const grown = new Uint8Array(Math.max(inode.written.length, offset + bytes.length));
        grown.set(inode.written);
        grown.set(bytes, offset);
        inode.written = grown;
      },
      sync: () => {
        this.#step("sync", path);
        inode.synced = inode.written;
      },
      writeDurably: () => assert(false, "the store writes nothing beside the event loop"),
      close: () => {},
    };
  }

  #change(change: NameChange): void {
    apply(change, this.#names);
    this.#pending.push(change);
  }

  #step(action: string, path: string): void {
    if (++this.steps >= this.cutAt) throw new PowerCut(`${action} ${path}`);
    this.beforeStep?.(action, path);
  }
}

const pendingMax = 10;
const hashes = new WeakMap<Bytes, string>();

function describeNames(names: ReadonlyMap<string, Inode>): string {
  return Array.from(names, ([path, inode]) => `${path}|${describe(inode)}`)
    .sort()
    .join("\n");
}

function describe({ written, synced }: Inode): string {
  return written === synced ? hashOf(written) : `${hashOf(written)}|${hashOf(synced)}`;
}

/** Content is replaced and never changed, so that what was hashed once need not be again. */
function hashOf(content: Bytes): string {
  const hash = hashes.get(content) ?? Bun.hash(content).toString(36);
  hashes.set(content, hash);
  return hash;
}

function apply({ lost, got }: NameChange, names: Map<string, Inode>): void {
  if (lost !== undefined) names.delete(lost);
  if (got !== undefined) names.set(got.path, got.inode);
}

function survivors(names: ReadonlyMap<string, Inode>, lost: "all" | "half" | "nothing"): Map<string, Inode> {
  const kept = new Map<string, Inode>();
  for (const [path, inode] of names) {
    const folder = parent(path);
    if (folder !== "." && !names.has(folder)) continue;
    let content = inode.synced;
    if (lost === "nothing") content = inode.written;
    else if (lost === "half" && inode.written !== inode.synced)
      content = inode.written.slice(0, inode.written.length >> 1);
    kept.set(path, { isFolder: inode.isFolder, written: content, synced: content });
  }
  return kept;
}

function parent(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "." : path.slice(0, slash);
}
