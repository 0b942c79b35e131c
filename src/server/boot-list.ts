/**
 * The starts of a data folder: the file `boots`, to which each start appends one before anybody hears of it. Nothing in
 * it is ever changed or removed.
 *
 *     boots = "KVBT", version u8 (1), zeros to 16 bytes, boot*
 *     boot  = boot id 8 bytes, crc u32 over the id, seeded with the boot's number; the first boot has number 1
 *
 * A boot stands where its number says. So whether the folder holds a boot that somebody remembers takes one read of 12
 * bytes, however long the list is; a start each second makes 1 MiB a day. Example, the second boot: bytes 28 to 39.
 */
import type { Disk, DiskFile } from "../env/disk.ts";
import { replaceFile } from "../env/replace-file.ts";
import { type Bytes, equalBytes, toHex } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import { ByteWriter, readU32 } from "../lib/codec.ts";
import { KvraftError, replaceNodeAdvice } from "../lib/error.ts";
import type { Boot } from "../rpc/hello.ts";

const fileName = "boots";
/** "KVBT" as a little-endian number. */
const magic = 0x5442_564b;
const version = 1;
const headerBytes = 16;
const bootBytes = 12;

export class BootList {
  /** This start's. */
  readonly boot: Boot;
  readonly #file: DiskFile;

  /** Makes an empty list, durably, unless there is one: in a folder that has yet to get its identity. */
  static create(disk: Disk, folder: string): void {
    if (disk.exists(`${folder}/${fileName}`)) return;
    replaceFile(disk, folder, fileName, header());
  }

  /** Looks at every boot of a folder that is not in use. Throws as `begin` does. */
  static check(disk: Disk, folder: string): void {
    const path = `${folder}/${fileName}`;
    if (!disk.exists(path)) throw missing(folder, path);
    const file = disk.open(path, "read");
    try {
      checkHeader(path, file.read(0, headerBytes));
      const count = Math.floor((file.size() - headerBytes) / bootBytes);
      for (let number = 1; number <= Math.max(1, count); number++) {
        // The last one may be what a crash left; of a node there is one at least.
        const mayBeTorn = number === count && number > 1;
        if (readBoot(file, number) === undefined && !mayBeTorn) throw damaged(path, number);
      }
    } finally {
      file.close();
    }
  }

  /**
   * Appends the boot `id`: it is durable when this returns. Throws KvraftError: IDENTITY when there is no list, FORMAT,
   * CORRUPTION.
   */
  static begin(disk: Disk, folder: string, id: string): BootList {
    const path = `${folder}/${fileName}`;
    if (!disk.exists(path)) throw missing(folder, path);
    const file = disk.open(path, "write");
    try {
      checkHeader(path, file.read(0, headerBytes));
      return new BootList(path, file, id);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  private constructor(path: string, file: DiskFile, id: string) {
    this.#file = file;
    const whole = Math.floor((file.size() - headerBytes) / bootBytes);
    let last = whole;
    // A crash may have left half of a boot, or one with wrong bytes: nobody has heard of it.
    if (last > 0 && readBoot(file, last) === undefined) last--;
    if (last > 0 && readBoot(file, last) === undefined) throw damaged(path, last);
    this.boot = { number: last + 1, id };
    const record = new ByteWriter(bootBytes);
    record.id(id);
    record.u32(crc32(record.view(), last + 1));
    file.write(headerBytes + last * bootBytes, record.take());
    file.sync();
  }

  /** Whether the list has this boot, in its place. */
  holds(boot: Boot): boolean {
    if (boot.number < 1 || boot.number > this.boot.number) return false;
    return readBoot(this.#file, boot.number) === boot.id;
  }

  close(): void {
    this.#file.close();
  }
}

function header(): Bytes {
  const writer = new ByteWriter(headerBytes);
  writer.u32(magic);
  writer.u8(version);
  writer.skip(headerBytes - writer.length);
  return writer.take();
}

function missing(folder: string, path: string): KvraftError {
  return new KvraftError(
    "IDENTITY",
    `Cannot use "${folder}": its list of starts, "${path}", is missing, so the other members cannot tell whether the ` +
      `folder is a copy; put the file back, or ${replaceNodeAdvice}`,
  );
}

function damaged(path: string, number: number): KvraftError {
  return new KvraftError(
    "CORRUPTION",
    `Cannot use "${path}": start ${number} is damaged; ${replaceNodeAdvice}`,
  );
}

function checkHeader(path: string, found: Bytes): void {
  if (equalBytes(found, header())) return;
  const isOurs = found.length === headerBytes && readU32(found, 0) === magic;
  if (isOurs && found[4] !== version)
    throw new KvraftError(
      "FORMAT",
      `Cannot use "${path}": it has format ${found[4]}, this build knows ${version}; use a newer build`,
    );
  throw new KvraftError(
    "CORRUPTION",
    `Cannot use "${path}": its first ${headerBytes} bytes are damaged; ${replaceNodeAdvice}`,
  );
}

/** Undefined when the bytes there are no boot of that number. */
function readBoot(file: DiskFile, number: number): string | undefined {
  const bytes = file.read(headerBytes + (number - 1) * bootBytes, bootBytes);
  if (bytes.length < bootBytes) return undefined;
  if (crc32(bytes.subarray(0, 8), number) !== readU32(bytes, 8)) return undefined;
  return toHex(bytes.subarray(0, 8));
}
