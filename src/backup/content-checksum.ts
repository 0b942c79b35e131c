/**
 * The checksum of a backup's content: SHA-256 of
 *
 *     content = row*, in the order of the keys, field*, in the order of the names
 *     row     = keyLength u32, key, valueLength u32, value, created u64, modified u64, count u64      little endian
 *     field   = name "=" value LF                                        text, numbers in decimal digits
 *
 * `checksum` itself is no field. Example, of the row "a" = "b", put once at revision 1:
 *
 *     01 00 00 00  61  01 00 00 00  62  01 00 00 00 00 00 00 00  01 00 00 00 00 00 00 00  01 00 00 00 00 00 00 00
 */
import { Sha256 } from "../env/sha-256.ts";
import type { BackupFields, BackupRow } from "../env/sqlite-backup.ts";
import { type Bytes, toUtf8 } from "../lib/bytes.ts";

/** Small rows are put together: a call for each would cost more than they do. */
const bufferBytes = 64 * 1024;
/** Of a row, beside its key and its value. */
const overheadBytes = 32;

export class ContentChecksum {
  readonly #hash = new Sha256();
  readonly #buffer = new Uint8Array(bufferBytes);
  readonly #view = new DataView(this.#buffer.buffer);
  #length = 0;

  add({ key, value, created, modified, count }: BackupRow): void {
    if (this.#length + overheadBytes > bufferBytes) this.#flush();
    this.#bytes(key);
    this.#bytes(value);
    if (this.#length + overheadBytes > bufferBytes) this.#flush();
    for (const number of [created, modified, count]) this.#u64(number);
  }

  /** Ends it. */
  finish(fields: BackupFields): string {
    for (const [name, value] of fields) this.#raw(toUtf8(`${name}=${value}\n`));
    this.#flush();
    return this.#hash.digestHex();
  }

  #bytes(bytes: Bytes): void {
    if (this.#length + 4 > bufferBytes) this.#flush();
    this.#view.setUint32(this.#length, bytes.length, true);
    this.#length += 4;
    this.#raw(bytes);
  }

  #raw(bytes: Bytes): void {
    if (this.#length + bytes.length > bufferBytes) this.#flush();
    if (bytes.length > bufferBytes) return this.#hash.update(bytes);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #u64(number: number): void {
    this.#view.setUint32(this.#length, number % 2 ** 32, true);
    this.#view.setUint32(this.#length + 4, Math.floor(number / 2 ** 32), true);
    this.#length += 8;
  }

  #flush(): void {
    this.#hash.update(this.#buffer.subarray(0, this.#length));
    this.#length = 0;
  }
}
