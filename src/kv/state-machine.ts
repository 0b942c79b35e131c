import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import { ByteReader, ByteWriter, DecodeError } from "../lib/codec.ts";
import { KvraftError, messageOf, replaceNodeAdvice } from "../lib/error.ts";
import { type BootRow, decodeBoots, encodeBoots, noteBoots } from "./boots.ts";
import { type Command, decodeCommand, type KeyCommand, type SessionStamp } from "./command.ts";
import {
  bootsKey,
  configurationKey,
  metaKey,
  sessionKey,
  sessionNameOf,
  sessionPrefix,
  userKey,
} from "./keys.ts";
import type { Result } from "./result.ts";
import { type Admission, SessionTable } from "./session-table.ts";
import { statusNumber } from "./status.ts";
import type { Store, StoredRecord } from "./store.ts";

/**
 * The replicated state machine: a deterministic function of the log. Every replica that applied the same entries holds
 * the same keys, revision, clock and sessions, and gave the same results. It reads no local clock: time is what the
 * commands carry, and never goes back.
 *
 * User keys go to the store as they are applied. The rest of the state (sessions, revision, clock) lives in memory and
 * is written by `save`, which comes right before every flush: what is on disk is always one moment of the log.
 */
export class StateMachine {
  readonly #store: Store;
  #sessions = new SessionTable();
  #revision = 0;
  #clockMs = 0;
  /** Wall time is lease time plus this. */
  #wallOffsetMs = 0;
  #applied = 0;
  #hash = 0;
  #boots = new Map<string, BootRow>();
  #bootsChanges = 0;

  /**
   * Takes up what the store holds, which is the state after the entry `applied`. Throws a KvraftError (CORRUPTION,
   * FORMAT) when that is none.
   */
  constructor(store: Store, applied: number) {
    this.#store = store;
    this.restore(applied);
  }

  /** Takes up what the store holds now, as the constructor does: another state has taken the place of the old one. */
  restore(applied: number): void {
    const store = this.#store;
    this.#applied = applied;
    try {
      const meta = readMeta(store);
      this.#revision = meta.revision;
      this.#clockMs = meta.clockMs;
      this.#wallOffsetMs = meta.wallMs - meta.clockMs;
      this.#hash = meta.hash;
      this.#sessions = new SessionTable(meta.bornFloorMs);
      this.#sessions.restore(readSessions(store));
      const boots = store.get(bootsKey);
      this.#boots = boots === undefined ? new Map() : decodeBoots(boots);
      this.#bootsChanges++;
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw new KvraftError("CORRUPTION", `Cannot read the state: ${error.message}; ${replaceNodeAdvice}`);
    }
  }

  /** +1 with each command that changed a key. */
  get revision(): number {
    return this.#revision;
  }

  /** Lease time of the last command: the milliseconds for which leaders have served until then. It never goes back. */
  get clockMs(): number {
    return this.#clockMs;
  }

  /** What wall time is ahead of lease time: the same on all replicas, and moved by clock commands alone. */
  get wallOffsetMs(): number {
    return this.#wallOffsetMs;
  }

  /**
   * A rolling hash over the entries that were applied and what they gave, of 32 bits: replicas whose hashes differ after
   * the same entry have been given different entries, or have made something different of them.
   */
  get hash(): number {
    return this.#hash;
  }

  /** The data of the last config entry that was applied; undefined before the first one. */
  get configuration(): Bytes | undefined {
    return this.#store.get(configurationKey);
  }

  /** The last start of each node's process that a leader has admitted. */
  get boots(): ReadonlyMap<string, BootRow> {
    return this.#boots;
  }

  /** Counts the changes of `boots`. */
  get bootsChanges(): number {
    return this.#bootsChanges;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** Applies the command of entry `index`. A command that cannot be understood stops the node: it is never skipped. */
  applyCommand(index: number, data: Bytes): Result {
    this.#advance(index);
    const result = this.#apply(index, data);
    this.#hash = mix(mix(crc32(data, this.#hash), statusNumber(result.status)), result.revision);
    return result;
  }

  #apply(index: number, data: Bytes): Result {
    const command = decodeOrStop(index, data);
    this.#clockMs = Math.max(this.#clockMs, command.timeMs);
    if (command.type === "clock") {
      this.#wallOffsetMs = command.wallMs - this.#clockMs;
      return { status: "OK", revision: this.#revision };
    }
    if (command.type === "boots") {
      noteBoots(this.#boots, bootsOrStop(command.boots));
      this.#bootsChanges++;
      this.#store.put(bootsKey, encodeBoots(this.#boots), this.#revision);
      return { status: "OK", revision: this.#revision };
    }
    const { session } = command;
    if (session === undefined) return this.#execute(command);
    const admission = this.#sessions.admit(session, this.#clockMs);
    if (admission.kind === "duplicate") return admission.result;
    if (admission.kind === "refuse") return { status: admission.status, revision: this.#revision };
    const result = this.#execute(command);
    this.#sessions.record(session, index, this.#clockMs, result);
    return result;
  }

  /** Applies a configuration entry: kept as it stands, for whoever takes over this state. */
  applyConfiguration(index: number, data: Bytes): void {
    this.#advance(index);
    this.#store.put(configurationKey, data, this.#revision);
    this.#hash = crc32(data, this.#hash);
  }

  /** Applies an entry without a command. */
  applyNoop(index: number): void {
    this.#advance(index);
  }

  get(key: Bytes): Bytes | undefined {
    return this.#store.get(userKey(key));
  }

  /** The value with what is known of its key's life. */
  getRecord(key: Bytes): StoredRecord | undefined {
    return this.#store.getRecord(userKey(key));
  }

  /** What would happen to this command if it were applied now; for a leader, which appends no duplicate. */
  admit(stamp: SessionStamp): Admission {
    return this.#sessions.admit(stamp, this.#clockMs);
  }

  /**
   * Writes what lives in memory to the store, at most so many sessions. Returns whether the store holds the whole state now;
   * else it is called again, and entries may be applied in between.
   */
  save(sessionsMax = Number.POSITIVE_INFINITY): boolean {
    for (const { name, record } of this.#sessions.takeChanges(sessionsMax)) {
      if (record === undefined) this.#store.delete(sessionKey(name), this.#revision);
      else this.#store.put(sessionKey(name), record, this.#revision);
    }
    if (this.#sessions.hasChanges) return false;
    const meta = {
      revision: this.#revision,
      clockMs: this.#clockMs,
      wallMs: this.#clockMs + this.#wallOffsetMs,
      bornFloorMs: this.#sessions.bornFloorMs,
      hash: this.#hash,
    };
    this.#store.put(metaKey, encodeMeta(meta), this.#revision);
    return true;
  }

  #advance(index: number): void {
    assert(index === this.#applied + 1, "entries are applied in order, each once");
    this.#applied = index;
    this.#hash = mix(this.#hash, index);
  }

  #execute(command: KeyCommand): Result {
    const key = userKey(command.key);
    if (command.type === "put") {
      this.#store.put(key, command.value, ++this.#revision);
      return { status: "OK", revision: this.#revision };
    }
    if (this.#store.get(key) === undefined) return { status: "ErrNoKey", revision: this.#revision };
    this.#store.delete(key, ++this.#revision);
    return { status: "OK", revision: this.#revision };
  }
}

/** One more number in a hash: a difference that is there stays there, since every step can be undone. */
function mix(hash: number, value: number): number {
  const folded = (value ^ Math.floor(value / 0x1_0000_0000)) >>> 0;
  return Math.imul(hash ^ folded, 0x9e37_79b1) >>> 0;
}

function bootsOrStop(data: Bytes): Map<string, BootRow> {
  try {
    return decodeBoots(data);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new KvraftError(
      "FORMAT",
      `Cannot apply a command about boots: ${messageOf(error)}; upgrade this node`,
    );
  }
}

function decodeOrStop(index: number, data: Bytes): Command {
  try {
    return decodeCommand(data);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new KvraftError(
      "FORMAT",
      `Cannot apply entry ${index}: ${messageOf(error)}; this node is older than the one that proposed it, upgrade it`,
    );
  }
}

/** Of all that is stored of the state. */
const stateVersion = 3;

interface Meta {
  readonly revision: number;
  readonly clockMs: number;
  /** Wall time at `clockMs`, in ms since 1970. */
  readonly wallMs: number;
  readonly bornFloorMs: number;
  readonly hash: number;
}

/** meta := version of the state u8 (3), revision varint, clockMs varint, wallMs varint, bornFloorMs varint, hash u32 */
export function encodeMeta(meta: Meta): Bytes {
  const writer = new ByteWriter(32);
  writer.u8(stateVersion);
  writer.varint(meta.revision);
  writer.varint(meta.clockMs);
  writer.varint(meta.wallMs);
  writer.varint(meta.bornFloorMs);
  writer.u32(meta.hash);
  return writer.take();
}

export function readMeta(store: Pick<Store, "get">): Meta {
  const record = store.get(metaKey);
  if (record === undefined) return { revision: 0, clockMs: 0, wallMs: 0, bornFloorMs: 0, hash: 0 };
  const reader = new ByteReader(record);
  const version = reader.u8();
  if (version !== stateVersion)
    throw new KvraftError(
      "FORMAT",
      `Cannot read the state: it has version ${version}, ${stateVersion} is known; use the version that wrote it`,
    );
  const meta = {
    revision: reader.varint(),
    clockMs: reader.varint(),
    wallMs: reader.varint(),
    bornFloorMs: reader.varint(),
    hash: reader.u32(),
  };
  reader.end();
  return meta;
}

function* readSessions(store: Store): Generator<{ name: string; record: Bytes }> {
  const iterator = store.newIterator();
  try {
    for (iterator.seek(sessionPrefix); iterator.valid(); iterator.next()) {
      const name = sessionNameOf(iterator.key());
      if (name === undefined) return;
      yield { name, record: iterator.value() };
    }
  } finally {
    iterator.close();
  }
}
