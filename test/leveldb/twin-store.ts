import { expect } from "bun:test";
import type { LevelDBOptions } from "../../src/leveldb/level-db.ts";
import { type Manifest, readManifest } from "../../src/leveldb/manifest.ts";
import { folder, TextStore } from "./text-store.ts";

export function keyOf(place: number): string {
  return `key${String(place).padStart(4, "0")}`;
}

export function manifestOf(db: TextStore): Manifest {
  return readManifest(db.disk, folder);
}

/** A store, what it should hold, and writes to both. */
export class TwinStore {
  readonly db: TextStore;
  readonly values = new Map<string, string>();

  constructor(options: LevelDBOptions = {}) {
    this.db = new TextStore(options);
  }

  put(key: string, value: string): void {
    this.db.put(key, value);
    this.values.set(key, value);
  }

  delete(key: string): void {
    this.db.delete(key);
    this.values.delete(key);
  }

  all(): string {
    const pairs = [...this.values].sort(([a], [b]) => (a < b ? -1 : 1));
    return pairs.map(([key, value]) => `${key}=${value}`).join(" ");
  }

  check(where?: string): void {
    expect(this.db.all(), where).toBe(this.all());
  }
}

/**
 * A store of some runs that overlap, with deletions, which are to be merged into one and are not yet. Its files are so
 * small that the merge has several steps, and a step several slices.
 */
export function unmergedStore(runs: number, keys: number): TwinStore {
  const twin = new TwinStore({ tableBytesMax: 8_000, runsMax: 4 });
  for (let run = 0; run < runs; run++) {
    for (let place = run; place < keys; place += run + 1) {
      if ((place + run) % 7 === 3) twin.delete(keyOf(place));
      else twin.put(keyOf(place), `run ${run} of ${place}`);
    }
    twin.db.flushOnly();
  }
  return twin;
}
