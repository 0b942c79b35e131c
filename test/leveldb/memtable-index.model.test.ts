/** A memtable against an array of all that was ever written: points, cursors, and the rows that a flush finds. */
import { expect, test } from "bun:test";
import type { Prng } from "../../src/env/prng.ts";
import { Memtable, MemtablePool } from "../../src/leveldb/memtable.ts";
import { MemtableCursor } from "../../src/leveldb/memtable-cursor.ts";
import { EntryMemory } from "../../src/leveldb/memtable-entry.ts";
import { valueOfRecord } from "../../src/leveldb/record.ts";
import { MemtableSource } from "../../src/leveldb/row-source.ts";
import { type Bytes, compareBytes, equalBytes, toHex } from "../../src/lib/bytes.ts";
import { moveCursor } from "./cursor-walk.ts";
import { randomKey } from "./random-keys.ts";
import { eachSeed } from "./seed.ts";

interface Written {
  readonly key: Bytes;
  readonly sequence: number;
  readonly stamp: number;
  /** Undefined for a deletion. */
  readonly value: Bytes | undefined;
}

/** A pinned state, and what it may be read at. */
interface Pinned {
  readonly stamp: number;
  readonly sequence: number;
}

class Twin {
  readonly memtable: Memtable;
  readonly written: Written[] = [];
  readonly pins: Pinned[] = [];
  readonly keepsHistory: boolean;
  sequence = 1;
  #stamp = 0;

  constructor(keepsHistory: boolean) {
    this.keepsHistory = keepsHistory;
    this.memtable = new Memtable(new MemtablePool(0), keepsHistory);
  }

  write(prng: Prng, keyOf: () => Bytes): void {
    this.memtable.beginWrite();
    this.#stamp++;
    this.sequence += prng.pick([0, 0, 1, 1, 3, 2 ** 33]);
    for (let count = prng.pick([1, 1, 1, 4]); count > 0; count--) {
      const [key, sequence, stamp] = [keyOf(), this.sequence, this.#stamp];
      const value = prng.chance(1, 4) ? undefined : new Uint8Array(prng.int(0, 20)).fill(prng.int(0, 255));
      if (value === undefined) this.memtable.delete(key, sequence);
      else this.memtable.put(key, value, sequence);
      this.written.push({ key, sequence, stamp, value });
    }
  }

  pin(): void {
    this.pins.push({ stamp: this.memtable.pin(), sequence: this.sequence });
  }

  /** Of each key the newest version that is visible, by key. */
  visible({ stamp }: Pinned, sequence: number): Written[] {
    const newest = new Map<string, Written>();
    for (const one of this.written)
      if (one.stamp <= stamp && one.sequence <= sequence) newest.set(toHex(one.key), one);
    return [...newest.values()].sort((a, b) => compareBytes(a.key, b.key));
  }

  /** What a read of the pinned state may ask for: its present, or with history any number. */
  sequenceFor(prng: Prng): number {
    return this.keepsHistory && prng.chance(1, 2) ? prng.pick(this.written).sequence : Infinity;
  }
}

/** Few keys have many versions; many keys fill and split leaves. */
function keySource(prng: Prng): () => Bytes {
  const few = Array.from({ length: prng.pick([1, 3, 30]) }, () => randomKey(prng));
  return prng.chance(1, 2) ? () => prng.pick(few) : () => randomKey(prng);
}

function grow(prng: Prng, twin: Twin, writes: number): void {
  const keyOf = keySource(prng);
  for (let count = 0; count < writes; count++) {
    twin.write(prng, keyOf);
    if (prng.chance(1, 30)) twin.pin();
    if (twin.pins.length > 1 && prng.chance(1, 60)) {
      const place = prng.int(0, twin.pins.length - 1);
      twin.memtable.unpin(twin.pins.splice(place, 1)[0]!.stamp);
    }
  }
}

test("points find what their view and their sequence number see", () => {
  eachSeed(30, (prng, seed) => {
    const twin = new Twin(prng.chance(1, 2));
    for (let round = 0; round < 4; round++) {
      grow(prng, twin, prng.int(1, 400));
      twin.pin();
      const pin = prng.pick(twin.pins);
      const sequence = twin.sequenceFor(prng);
      const visible = twin.visible(pin, sequence);
      const asked = [...twin.written.map(({ key }) => key), randomKey(prng), randomKey(prng)];
      for (let count = 0; count < 100; count++) {
        const key = prng.pick(asked);
        const expected = visible.find((one) => equalBytes(one.key, key));
        const address = twin.memtable.find(key, pin.stamp, sequence);
        const where = `SEED=${seed} ${toHex(key)}`;
        expect(address === -1, where).toBe(expected === undefined);
        if (expected === undefined) continue;
        expect(valueOfRecord(twin.memtable.record(address)), where).toEqual(expected.value);
        expect(twin.memtable.memory.sequence(address), where).toBe(expected.sequence);
      }
    }
  });
});

test("cursors go over what they see in any direction while the memtable grows", () => {
  eachSeed(40, (prng, seed) => {
    const twin = new Twin(prng.chance(1, 2));
    grow(prng, twin, prng.pick([1, 50, 1500]));
    twin.pin();
    const pin = prng.pick(twin.pins);
    const sequence = twin.sequenceFor(prng);
    twin.memtable.pinAgain(pin.stamp);
    const visible = twin.visible(pin, sequence);
    const cursor = new MemtableCursor(twin.memtable, pin.stamp, sequence);
    const keyOf = keySource(prng);
    let place = -1;
    for (let step = 0; step < 150; step++) {
      if (prng.chance(1, 4)) grow(prng, twin, 1);
      const target = prng.chance(1, 2) ? prng.pick(twin.written).key : keyOf();
      place = moveCursor(cursor, cursor.isValid ? prng.int(0, 14) : prng.int(0, 4), target, place, visible);
      const expected = visible[place];
      const where = `SEED=${seed} step ${step}`;
      expect(cursor.isValid, where).toBe(expected !== undefined);
      if (expected === undefined) continue;
      expect(toHex(cursor.key), where).toBe(toHex(expected.key));
      expect(cursor.isTombstone(), where).toBe(expected.value === undefined);
      if (expected.value !== undefined) expect(cursor.value(), where).toEqual(expected.value);
    }
  });
});

test("a flush finds all keys in order, of each the newest version first, and every one that somebody may still read", () => {
  eachSeed(30, (prng, seed) => {
    const twin = new Twin(prng.chance(1, 2));
    grow(prng, twin, prng.pick([0, 1, 100, 3000]));
    const found = flushed(twin.memtable);
    const names = found.map(({ key }) => toHex(key));
    const ordered = found.toSorted((a, b) => compareBytes(a.key, b.key));
    expect(names, `SEED=${seed}`).toEqual(ordered.map(({ key }) => toHex(key)));
    const present = twin.visible({ stamp: Infinity, sequence: 0 }, Infinity);
    expect([...new Set(names)]).toEqual(present.map(({ key }) => toHex(key)));
    for (const { key, sequence } of present)
      expect(found.find((row) => equalBytes(row.key, key))?.sequence).toBe(sequence);
    for (let at = 1; at < found.length; at++)
      if (names[at] === names[at - 1])
        expect(found[at]!.sequence).toBeLessThanOrEqual(found[at - 1]!.sequence);
    if (twin.keepsHistory) expect(found.length).toBe(twin.written.length);
    expect(twin.memtable.isEmpty).toBe(found.length === 0);
  });
});

function flushed(memtable: Memtable): { key: Bytes; sequence: number }[] {
  const parts = memtable.parts();
  const chunks = parts.chunks.map((chunk) => new Uint8Array(chunk));
  const words = parts.chunks.map((chunk) => new Uint32Array(chunk));
  const source = new MemtableSource(parts, new EntryMemory(chunks, words));
  const rows: { key: Bytes; sequence: number }[] = [];
  for (; source.isValid; source.advance())
    rows.push({ key: source.bytes.slice(source.keyStart, source.keyEnd), sequence: source.sequence });
  return rows;
}
