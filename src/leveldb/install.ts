import { assert, unreachable } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import type { InstallOrder, InstallReport, InstallState } from "./install-messages.ts";
import type { TableFile } from "./manifest.ts";

/** What an install tells its owner, each in a turn of its own, or inside of a call that waits for the worker. */
export interface InstallHooks {
  /** A chunk of so many bytes has gone into a file: its memory is free, and the next may come. */
  consumed(bytes: number): void;
  /** The store is the new one, durably. The install is over. */
  installed(): void;
  /** The rows are not what they should be. The install is over, and the store is as it was. */
  refused(error: KvraftError): void;
}

/** What an install needs of its store. */
export interface InstallStore {
  tell(order: InstallOrder): void;
  /** Throws when nothing more can be made durable. */
  check(): void;
  /** A bug unless the state is newer than all that the store has. */
  checkNewer(state: InstallState): void;
  built(file: TableFile): void;
  /** Lets go of files that were built. */
  forget(numbers: Iterable<number>): void;
}

/**
 * Another state on its way into a store, which is the old one, and is used as such, until all of the new one is durable:
 * then MANIFEST is replaced once. Of a crash before that, nothing is left; after it, nothing of the old state.
 */
export class Install {
  readonly number: number;
  readonly #hooks: InstallHooks;
  readonly #store: InstallStore;
  /** Files that are complete. */
  readonly #files = new Set<number>();
  #phase: "taking" | "finishing" | "over" | "closed" = "taking";

  constructor(number: number, hooks: InstallHooks, store: InstallStore) {
    this.number = number;
    this.#hooks = hooks;
    this.#store = store;
    store.tell({ step: "begin", install: number });
  }

  get isOver(): boolean {
    return this.#phase === "over" || this.#phase === "closed";
  }

  /** Whether `finish` was called, and nothing has come of it yet. */
  get isFinishing(): boolean {
    return this.#phase === "finishing";
  }

  /**
   * Takes the next chunk of rows (row-chunk.ts), whose memory is the caller's again when it returns. Throws when the
   * store's worker has failed.
   */
  add(rows: Bytes): void {
    this.#checkTaking();
    // In memory that is shared: a message would copy it once more, which costs this thread several times as much.
    const shared = new Uint8Array(new SharedArrayBuffer(rows.length));
    shared.set(rows);
    this.#store.tell({ step: "add", install: this.number, rows: shared });
  }

  /**
   * All rows are there: they become the store, as the state after `applied`, which has to be newer than what the store
   * holds. Until `installed` or `refused` nothing may be written, sealed or flushed; reads go on. Throws as `add` does.
   */
  finish(state: InstallState): void {
    this.#checkTaking();
    this.#store.checkNewer(state);
    const { sequence, applied } = state;
    this.#store.tell({ step: "finish", install: this.number, sequence, applied });
    this.#phase = "finishing";
  }

  /** Gives up before `finish`: nothing has happened. Does nothing when it is over. */
  abandon(): void {
    if (this.isOver) return;
    assert(this.#phase === "taking", "an install that was finished is not abandoned");
    this.#store.tell({ step: "abandon", install: this.number });
    this.#giveUp();
  }

  /** For the store: it closes. */
  close(): void {
    this.#phase = "closed";
  }

  /** For the store: its worker tells this. */
  hear(report: InstallReport): void {
    switch (report.step) {
      case "taken":
        return this.#hooks.consumed(report.bytes);
      case "built":
        this.#files.add(report.file.number);
        return this.#store.built(report.file);
      case "refused": {
        this.#giveUp();
        const message = `Cannot install the rows of another store: they are damaged (${report.why})`;
        return this.#hooks.refused(new KvraftError("CORRUPTION", message));
      }
      default:
        unreachable(report);
    }
  }

  /** For the store: it is the new one. */
  installed(): void {
    this.#phase = "over";
    this.#hooks.installed();
  }

  #giveUp(): void {
    this.#phase = "over";
    this.#store.forget(this.#files);
  }

  #checkTaking(): void {
    if (this.#phase === "closed")
      throw new KvraftError(
        "CLOSED",
        "Cannot go on with the install: its database was closed; open it again",
      );
    assert(this.#phase === "taking", "an install that is finished or over takes nothing more");
    this.#store.check();
  }
}
