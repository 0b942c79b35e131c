/**
 * What a node holds that does not run: its store, and on top of it the entries of its log. Nothing in its folder changes:
 * log and store are opened as a start opens them, over a disk whose writes stay in memory.
 */
import type { DiskLock } from "../env/disk.ts";
import type { Env } from "../env/env.ts";
import { OverlayDisk } from "../env/overlay-disk.ts";
import { StateMachine } from "../kv/state-machine.ts";
import { LevelDB } from "../leveldb/level-db.ts";
import { assert, unreachable } from "../lib/assert.ts";
import { KvraftError } from "../lib/error.ts";
import type { Progress } from "../lib/examination.ts";
import type { Entry } from "../raft/types.ts";
import { Persister } from "../raftlog/persister.ts";
import { followStore } from "../server/data-folder.ts";
import { type FolderIdentity, type Identity, isStarted, readIdentity } from "../server/identity.ts";
import type { StateRow } from "./state-row.ts";

export interface StoppedNodeOptions {
  readonly env: Pick<Env, "disk" | "tables">;
  readonly folder: string;
  /** Replays what the log holds behind the last entry that this node knew to be committed, too. */
  readonly withUncommitted: boolean;
  /** Told what a start would tell of the log and the store. */
  readonly report: (line: string) => void;
}

/** Entries of the log, both included. */
export interface EntryRange {
  readonly first: number;
  readonly last: number;
}

/** Bytes of entries that are read at once. */
const sliceBytesMax = 4 * 1024 * 1024;
/** What the log would write at a start stays in memory: it need not be prepared for more. */
const segmentBytesMax = 64 * 1024;

export class StoppedNode {
  readonly clusterId: string;
  /** Behind what is known to be committed, whether replayed or not. */
  readonly uncommitted: EntryRange | undefined;
  readonly #lock: DiskLock;
  readonly #log: Persister;
  readonly #store: LevelDB;
  readonly #machine: StateMachine;
  /** The last entry that is replayed. */
  readonly #target: number;
  #index: number;

  /** NOT_FOUND, IDENTITY, LOCKED; CORRUPTION or FORMAT for what a start would refuse. Holds nothing then. */
  static open(options: StoppedNodeOptions): StoppedNode {
    const { env, folder } = options;
    const identity = readFormed(env.disk.exists(folder), readIdentity(env.disk, folder), folder);
    const lock = env.disk.lock(`${folder}/LOCK`);
    if (lock === undefined)
      throw new KvraftError(
        "LOCKED",
        `Cannot back up "${folder}": a server uses it; stop that server, or back up the running cluster without --data-dir`,
      );
    try {
      return new StoppedNode(options, identity, lock);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  private constructor(options: StoppedNodeOptions, identity: Identity, lock: DiskLock) {
    const { env, folder, report } = options;
    this.clusterId = identity.clusterId;
    this.#lock = lock;
    const disk = new OverlayDisk(env.disk);
    const workers = { start: () => assert(false, "a store that nobody writes to needs no worker") as never };
    this.#log = Persister.open(disk, `${folder}/log`, identity, { segmentBytesMax }, report);
    try {
      const storeEnv = { disk, tables: env.tables, workers };
      this.#store = LevelDB.open(storeEnv, `${folder}/store`, { createIfMissing: true, report });
    } catch (error) {
      this.#log.close();
      throw error;
    }
    try {
      followStore(this.#log, this.#store);
      const { index, term } = this.#store.applied;
      checkApplied(folder, this.#log.term(index), { index, term });
      this.#index = index;
      this.#machine = new StateMachine(this.#store, index);
      const known = Math.max(index, this.#log.readRaftState().hardState.commit);
      const { lastIndex } = this.#log;
      this.uncommitted = known < lastIndex ? { first: known + 1, last: lastIndex } : undefined;
      this.#target = options.withUncommitted ? lastIndex : Math.min(known, lastIndex);
    } catch (error) {
      this.#store.close();
      this.#log.close();
      throw error;
    }
  }

  /** The last entry that the state contains. */
  get index(): number {
    return this.#index;
  }

  get term(): number {
    return this.#log.term(this.#index)!;
  }

  get revision(): number {
    return this.#machine.revision;
  }

  /** About how many there are in all rows. */
  get bytes(): number {
    const [stored] = this.#store.approximateSizes([{ start: new Uint8Array(0), limit: allKeysEnd }]) as [
      number,
    ];
    return stored;
  }

  /** Applies the entries that the store does not have, some between two yields. */
  *replay(): Generator<Progress> {
    const from = this.#index;
    while (this.#index < this.#target) {
      for (const entry of this.#log.slice(this.#index + 1, this.#target + 1, sliceBytesMax))
        this.#apply(entry);
      yield { done: this.#index - from, total: this.#target - from };
    }
    this.#machine.save();
  }

  /** All rows of the state, after `replay`, in the order of their keys. */
  *rows(): Generator<StateRow> {
    const iterator = this.#store.newIterator();
    try {
      for (iterator.seekToFirst(); iterator.valid(); iterator.next()) {
        const key = iterator.key();
        yield { key, ...this.#store.getRecord(key)! };
      }
    } finally {
      iterator.close();
    }
  }

  close(): void {
    this.#store.close();
    this.#log.close();
    this.#lock.release();
  }

  #apply({ kind, index, data }: Entry): void {
    switch (kind) {
      case "command":
        this.#machine.applyCommand(index, data);
        break;
      case "config":
        this.#machine.applyConfiguration(index, data);
        break;
      case "noop":
        this.#machine.applyNoop(index);
        break;
      default:
        unreachable(kind);
    }
    this.#index = index;
  }
}

const allKeysEnd = Uint8Array.of(0xff);

function readFormed(exists: boolean, identity: FolderIdentity | undefined, folder: string): Identity {
  if (identity === undefined) {
    const why = exists ? "it holds no identity, so it is no node's data folder" : "there is no such folder";
    throw new KvraftError(
      "NOT_FOUND",
      `Cannot back up "${folder}": ${why}; name the dataDir of a server's configuration`,
    );
  }
  if (isStarted(identity) && (identity.state === "formed" || identity.state === "joined")) return identity;
  if (identity.origin !== undefined)
    throw new KvraftError(
      "IDENTITY",
      `Cannot back up "${folder}": it was prepared from a backup, and its cluster is not formed yet; use that backup ` +
        `(checksum ${identity.origin.checksum})`,
    );
  throw new KvraftError(
    "IDENTITY",
    `Cannot back up "${folder}": its server is part of no cluster yet, and has no data`,
  );
}

/** The store never runs ahead of the log that it was made from. */
function checkApplied(
  folder: string,
  found: number | undefined,
  wanted: { index: number; term: number },
): void {
  if (found === wanted.term) return;
  const log = found === undefined ? "does not have it" : `has it in term ${found}`;
  throw new KvraftError(
    "CORRUPTION",
    `Cannot back up "${folder}": its store has applied entry ${wanted.index} of term ${wanted.term}, and its log ${log}; ` +
      "use another node's folder (kvraft doctor says what is wrong with this one)",
  );
}
