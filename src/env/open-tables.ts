/** A table whose file may be closed at any time, and is opened again when it is read. */
export interface Closable {
  /** Of its last read, by the count of OpenTables. */
  lastUse: number;
  closeFile(): void;
}

/**
 * The tables whose files are open in this thread: a store may have thousands of them, and a process a few hundred
 * descriptors. When there are as many as allowed, the one that was read longest ago is closed (LevelDB's table cache and
 * `max_open_files`).
 */
export class OpenTables {
  readonly #max: number;
  readonly #tables = new Set<Closable>();
  #uses = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Before one more file is opened. */
  makeRoom(): void {
    while (this.#tables.size >= this.#max) this.#close(this.#oldest());
  }

  /** The system has no descriptor left: closes half of the files. Returns whether there were any. */
  shrink(): boolean {
    const oldestFirst = [...this.#tables].sort((one, other) => one.lastUse - other.lastUse);
    for (const table of oldestFirst.slice(0, Math.ceil(oldestFirst.length / 2))) this.#close(table);
    return oldestFirst.length > 0;
  }

  /** The file of this table is open now. */
  add(table: Closable): void {
    this.#tables.add(table);
    this.used(table);
  }

  used(table: Closable): void {
    table.lastUse = ++this.#uses;
  }

  /** The table has closed its file by itself. */
  delete(table: Closable): void {
    this.#tables.delete(table);
  }

  #close(table: Closable): void {
    this.#tables.delete(table);
    table.closeFile();
  }

  #oldest(): Closable {
    let oldest: Closable | undefined;
    for (const table of this.#tables)
      if (oldest === undefined || table.lastUse < oldest.lastUse) oldest = table;
    return oldest!;
  }
}

/** As many as LevelDB keeps open when nobody says otherwise. */
const openTablesMax = 1000;
/** What a process has to itself, and keeps for others, before a store gets more than the fewest. */
const otherDescriptors = 152;
const openTablesMin = 8;

/**
 * How many files of tables one thread keeps open, when the process may open so many files and connections. Two threads
 * read tables: the event loop, and the store's worker when it merges.
 */
export function openTablesMaxOf(descriptorsMax: number | undefined): number {
  if (descriptorsMax === undefined) return openTablesMax;
  const share = Math.floor((descriptorsMax - otherDescriptors) / 6);
  return Math.min(openTablesMax, Math.max(openTablesMin, share));
}
