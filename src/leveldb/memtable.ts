/**
 * The newest writes, in memory. A put costs a copy of its value and one look into a hash table: it sorts nothing and
 * reads nothing else. Order is made when somebody asks for it.
 *
 * Every write has a **stamp**, one more than the write before. A view sees what had been stamped when it was pinned;
 * sequence numbers cannot tell that, because several writes may carry the same one.
 */
import type { Row } from "../env/tables.ts";
import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import { Arena } from "./arena.ts";
import { keyOfText, textOfKey } from "./key-text.ts";
import { MemtableCursor } from "./memtable-cursor.ts";
import { Entry, EntryOrder, type Version } from "./memtable-entry.ts";
import { putHeaderBytes, tombstoneRecord, writePutHeader } from "./record.ts";

/** About what the heap holds for an entry beside its key and value. */
const entryOverheadBytes = 160;
const versionOverheadBytes = 96;

export class Memtable {
  readonly #entries = new Map<string, Entry>();
  readonly #order = new EntryOrder();
  readonly #arena = new Arena();
  #bytes = 0;
  #stamp = 0;
  /** Stamps of the live views, ascending, since stamps are pinned as they grow; equal ones are several views. */
  readonly #pins: number[] = [];

  /** Memory in use, about. Overwritten values count: their place is not used again. */
  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  /** Starts a write: all puts and deletes up to the next call become visible together. */
  beginWrite(): void {
    this.#stamp++;
  }

  /** Copies key and value. Requires a sequence number at or above that of every earlier operation on the key. */
  put(key: Bytes, value: Bytes, sequence: number): void {
    const entry = this.#entryFor(key, sequence);
    if (entry.isNew || entry.isTombstone) {
      entry.created = sequence;
      entry.count = 1;
      entry.isComplete = !entry.isNew;
    } else if (entry.sequence !== sequence) entry.count++;
    this.#stampEntry(entry, sequence, false);
    this.#storeRecord(entry, value);
  }

  delete(key: Bytes, sequence: number): void {
    const entry = this.#entryFor(key, sequence);
    entry.created = 0;
    entry.count = 0;
    entry.isComplete = true;
    this.#stampEntry(entry, sequence, true);
    entry.chunk = tombstoneRecord;
    entry.offset = 0;
    entry.headerLength = tombstoneRecord.length;
    entry.length = tombstoneRecord.length;
  }

  /** The newest version of the key; tombstones are versions too. Valid until the next write. */
  newest(key: Bytes): Version | undefined {
    return this.#entries.get(textOfKey(key));
  }

  /** The newest version that the view pinned at `stamp` sees. Valid until the next write. */
  visible(key: Bytes, stamp: number): Version | undefined {
    return this.#entries.get(textOfKey(key))?.visible(stamp);
  }

  /** A cursor over what the view pinned at `stamp` sees; later writes neither move nor invalidate it. */
  cursor(stamp: number): MemtableCursor {
    this.#sort();
    return new MemtableCursor(this.#order, stamp);
  }

  /** Pins the present state for a view: its versions stay until `unpin` of the stamp that is returned. */
  pin(): number {
    this.#pins.push(this.#stamp);
    return this.#stamp;
  }

  /** One more view of a stamp that is pinned. */
  pinAgain(stamp: number): void {
    const place = this.#pins.lastIndexOf(stamp);
    assert(place !== -1, "only a pinned stamp is pinned again");
    this.#pins.splice(place, 0, stamp);
  }

  unpin(stamp: number): void {
    const place = this.#pins.lastIndexOf(stamp);
    assert(place !== -1, "a view is unpinned once");
    this.#pins.splice(place, 1);
  }

  /** Prepares `rows` with a few ms of work at most. Returns whether there is more to do. */
  sortSome(): boolean {
    return this.#order.sortSome();
  }

  /** The newest version of every key as rows in order. The memtable must not be written to any more. */
  *rows(): IterableIterator<Row> {
    for (const text of this.#order.texts()) {
      const entry = this.#entries.get(text)!;
      yield { key: keyOfText(text), sequence: entry.sequence, record: entry.record() };
    }
  }

  #sort(): void {
    this.#order.sort((text) => this.#entries.get(text)!);
  }

  /** The entry of the key, with its newest version set aside when a view still needs it. */
  #entryFor(key: Bytes, sequence: number): Entry {
    const text = textOfKey(key);
    let entry = this.#entries.get(text);
    if (entry === undefined) {
      entry = new Entry(text);
      this.#entries.set(text, entry);
      this.#order.add(text);
      this.#bytes += key.length + entryOverheadBytes;
      return entry;
    }
    assert(sequence >= entry.sequence, "sequence numbers never go back");
    const pinned = this.#pins.length > 0 && this.#pins[this.#pins.length - 1]! >= entry.stamp;
    if (pinned) {
      entry.setAside();
      this.#bytes += versionOverheadBytes;
    }
    if (entry.older !== undefined) entry.dropUnseen(this.#pins);
    return entry;
  }

  /** The value is copied once, to where a flush finds the whole record. */
  #storeRecord(entry: Entry, value: Bytes): void {
    const headerLength = putHeaderBytes(entry);
    const length = headerLength + value.length;
    const arena = this.#arena;
    arena.reserve(length);
    writePutHeader(arena.chunk, arena.offset, entry);
    arena.chunk.set(value, arena.offset + headerLength);
    entry.chunk = arena.chunk;
    entry.offset = arena.offset;
    entry.headerLength = headerLength;
    entry.length = length;
    this.#bytes += length;
  }

  #stampEntry(entry: Entry, sequence: number, isTombstone: boolean): void {
    entry.sequence = sequence;
    entry.stamp = this.#stamp;
    entry.isTombstone = isTombstone;
  }
}
