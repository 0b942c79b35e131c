import { type Bytes, emptyBytes } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import type { Disk, DiskFile, DiskLock } from "./disk.ts";

/** What was written to a path, in memory. */
interface Content {
  bytes: Bytes;
  length: number;
}

/**
 * A disk that only seems to be written to: what is written, renamed and removed stays in memory, over the files of
 * another disk that are never changed. So whatever opens a folder can be let into one that must stay as it is. A file
 * that is written to is copied into memory as a whole. Locks are those of the other disk.
 */
export class OverlayDisk implements Disk {
  readonly #base: Disk;
  /** Undefined where a file of the base was removed. */
  readonly #contents = new Map<string, Content | undefined>();

  constructor(base: Disk) {
    this.#base = base;
  }

  createFolder(): void {}

  list(path: string): string[] {
    const names = new Set(this.#base.list(path));
    for (const [file, content] of this.#contents) {
      const at = file.lastIndexOf("/");
      if (file.slice(0, at) !== path) continue;
      if (content === undefined) names.delete(file.slice(at + 1));
      else names.add(file.slice(at + 1));
    }
    return [...names].sort();
  }

  exists(path: string): boolean {
    return this.#contents.has(path) ? this.#contents.get(path) !== undefined : this.#base.exists(path);
  }

  read(path: string): Bytes | undefined {
    if (!this.#contents.has(path)) return this.#base.read(path);
    const content = this.#contents.get(path);
    return content?.bytes.slice(0, content.length);
  }

  open(path: string, mode: "create" | "write" | "read"): DiskFile {
    if (mode === "read" && !this.#contents.has(path)) return this.#base.open(path, mode);
    if (mode === "create" && this.exists(path))
      throw new KvraftError("IO_ERROR", `Cannot create "${path}": it exists already`);
    if (mode === "create") this.#contents.set(path, { bytes: emptyBytes, length: 0 });
    return new OverlayFile(this.#contentOf(path));
  }

  rename(from: string, to: string): void {
    this.#contents.set(to, this.#contentOf(from));
    this.#contents.set(from, undefined);
  }

  remove(path: string): void {
    this.#contents.set(path, undefined);
  }

  syncFolder(): void {}

  lock(path: string): DiskLock | undefined {
    return this.#base.lock(path);
  }

  #contentOf(path: string): Content {
    if (!this.#contents.has(path)) {
      const bytes = this.#base.read(path);
      if (bytes !== undefined) this.#contents.set(path, { bytes: bytes.slice(), length: bytes.length });
    }
    const content = this.#contents.get(path);
    if (content === undefined)
      throw new KvraftError("NOT_FOUND", `Cannot open "${path}": there is no such file`);
    return content;
  }
}

class OverlayFile implements DiskFile {
  readonly #content: Content;

  constructor(content: Content) {
    this.#content = content;
  }

  size(): number {
    return this.#content.length;
  }

  read(offset: number, length: number): Bytes {
    const { bytes, length: end } = this.#content;
    return bytes.slice(Math.min(offset, end), Math.min(offset + length, end));
  }

  write(offset: number, bytes: Bytes): void {
    const content = this.#content;
    const end = offset + bytes.length;
    if (end > content.bytes.length) {
      const larger = new Uint8Array(Math.max(end, 2 * content.bytes.length));
      larger.set(content.bytes);
      content.bytes = larger;
    }
    content.bytes.set(bytes, offset);
    content.length = Math.max(content.length, end);
  }

  sync(): void {}

  writeDurably(offset: number, bytes: Bytes, done: (error?: Error) => void): void {
    this.write(offset, bytes);
    queueMicrotask(() => done());
  }

  close(): void {}
}
