import type { Clock, Timer } from "../env/clock.ts";
import { localPrefix } from "../kv/keys.ts";
import type { DurableScan } from "../leveldb/durable-scan.ts";
import type { LevelDB } from "../leveldb/level-db.ts";
import { crc32 } from "../lib/checksum.ts";
import type { ByteReader } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import type { Index, NodeId } from "../raft/types.ts";
import { method } from "../rpc/method.ts";
import {
  encodeSnapshotHead,
  encodeSnapshotPiece,
  freshSnapshot,
  type SnapshotPiece,
  snapshotIdleMsMax,
} from "../rpc/snapshot-requests.ts";
import type { SentState } from "./caught-up.ts";
import type { Driver } from "./driver.ts";
import {
  clientPiecesMax,
  clientSnapshotsMax,
  snapshotBytesPerSecondMax,
  snapshotPieceBytes,
  snapshotsMax,
} from "./limits.ts";
import type { Replies, ReplyTo } from "./replies.ts";

/** A snapshot that somebody reads. */
interface Reading {
  /** Closed when all was read. */
  readonly scan: DurableScan;
  /** The member that fetches it to catch up: the log behind it must not go meanwhile. Undefined for a client. */
  readonly peer: NodeId | undefined;
  /** Bytes of rows that were read for it. */
  sentBytes: number;
  readAtMs: number;
  /** The number of the piece that was read last, and the piece: its answer may get lost. */
  number: number;
  piece: SnapshotPiece | undefined;
  crc: number;
}

/** Somebody who waits until the store has what was applied when he asked. */
interface Opening {
  readonly replyTo: ReplyTo;
  readonly index: Index;
  readonly deadlineMs: number;
}

export interface SnapshotRequestsOptions {
  readonly clock: Clock;
  readonly store: LevelDB;
  readonly driver: Driver;
  readonly replies: Replies;
  /** What the log takes on the disk. */
  readonly logBytes: () => number;
}

/**
 * The service of those who read the whole state: members that lag, and backups. A snapshot is what MANIFEST holds, read
 * in slices of a millisecond, and nothing is copied for it: files stay until their last reader is gone.
 */
export class SnapshotRequests {
  readonly #options: SnapshotRequestsOptions;
  readonly #readings = new Map<number, Reading>();
  #openings: Opening[] = [];
  #tokens = 0;
  /** The moment from which on the next piece may be read, whoever wants it. */
  #freeAtMs = 0;
  readonly #timers = new Set<Timer>();

  constructor(options: SnapshotRequestsOptions) {
    this.#options = options;
  }

  /**
   * The log must keep what comes after this entry, for a member that fetches the state up to it. That does not hold for a
   * log that has grown by more than the state itself: such a member is slower than the writes, and would not catch up.
   */
  get heldIndex(): Index {
    const logBytes = this.#options.logBytes();
    let held = Number.POSITIVE_INFINITY;
    for (const { scan, peer } of this.#readings.values())
      if (peer !== undefined && logBytes < heldLogBytesMin + 2 * scan.bytes)
        held = Math.min(held, scan.applied.index);
    return held;
  }

  /** What was sent of the state that this member fetches from here, by the newest of its transfers. */
  sentTo(nodeId: NodeId): SentState | undefined {
    const reading = [...this.#readings.values()].findLast(({ peer }) => peer === nodeId);
    return reading && { sentBytes: reading.sentBytes, bytes: reading.scan.bytes };
  }

  /** Returns whether the request is one of these. Throws DecodeError. */
  dispatch(replyTo: ReplyTo, reader: ByteReader, remainingMs: number): boolean {
    if (replyTo.method === method.openSnapshot) {
      const isFresh = (reader.u8() & freshSnapshot) !== 0;
      reader.end();
      this.#open(replyTo, isFresh, remainingMs);
      return true;
    }
    if (replyTo.method !== method.readSnapshot) return false;
    const [token, number] = [reader.varint(), reader.varint()];
    reader.end();
    this.#readInTime(replyTo, token, number);
    return true;
  }

  /** Who waits gets no answer any more. */
  stop(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  /** Now and then: opens what can be opened, and closes what nobody reads. */
  expire(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const [token, { scan, readAtMs }] of this.#readings) {
      if (nowMs - readAtMs <= snapshotIdleMsMax) continue;
      scan.close();
      this.#readings.delete(token);
    }
    this.#openings = this.#openings.filter((opening) => !this.#settle(opening, nowMs));
  }

  /** Those that may still hold files. */
  get #openCount(): number {
    const readings = [...this.#readings.values()];
    return readings.filter(({ piece }) => piece?.end === undefined).length + this.#openings.length;
  }

  #open(replyTo: ReplyTo, isFresh: boolean, remainingMs: number): void {
    const { clock, driver, replies } = this.#options;
    const most = peerOf(replyTo) !== undefined ? snapshotsMax : clientSnapshotsMax;
    if (this.#openCount >= most) return replies.refuseAsBusy(replyTo);
    const opening = {
      replyTo,
      index: isFresh ? driver.applied.index : 0,
      deadlineMs: clock.monotonicMs() + remainingMs,
    };
    if (!this.#settle(opening, clock.monotonicMs())) this.#openings.push(opening);
  }

  /** Answers when the store is as new as wanted, or the time is up; returns whether it did. */
  #settle({ replyTo, index, deadlineMs }: Opening, nowMs: number): boolean {
    const { store, driver, replies } = this.#options;
    if (store.applied.index < index) {
      driver.sealUpTo(index);
      if (nowMs < deadlineMs) return false;
      replies.refuse(replyTo, "ErrBusy", "The state was not on the disk in time; try again");
      return true;
    }
    const scan = store.scanDurable({ limit: localPrefix });
    const token = ++this.#tokens;
    this.#readings.set(token, {
      ...{ scan, peer: peerOf(replyTo), sentBytes: 0, readAtMs: nowMs },
      ...{ number: -1, piece: undefined, crc: 0 },
    });
    const { applied, sequence: revision, bytes } = scan;
    replies.answer(replyTo, "OK", (body) => encodeSnapshotHead(body, { token, ...applied, revision, bytes }));
    return true;
  }

  /** At the pace that leaves the node time for its clients: all readers together get so many bytes in a second. */
  #readInTime(replyTo: ReplyTo, token: number, number: number): void {
    const { clock } = this.#options;
    const waitMs = Math.ceil(this.#freeAtMs - clock.monotonicMs());
    if (waitMs <= 0) return this.#read(replyTo, token, number);
    if (this.#timers.size >= clientPiecesMax && peerOf(replyTo) === undefined)
      return this.#options.replies.refuseAsBusy(replyTo);
    const timer = clock.after(waitMs, () => {
      this.#timers.delete(timer);
      this.#readInTime(replyTo, token, number);
    });
    this.#timers.add(timer);
  }

  #read(replyTo: ReplyTo, token: number, number: number): void {
    const { clock, replies } = this.#options;
    const reading = this.#readings.get(token);
    const isNext = reading !== undefined && number === reading.number + 1 && reading.piece?.end === undefined;
    if (reading === undefined || !(isNext || number === reading.number))
      return replies.refuse(replyTo, "ErrSnapshot", "The snapshot is not kept any more; begin again");
    reading.readAtMs = clock.monotonicMs();
    try {
      if (isNext) this.#advance(reading);
    } catch (error) {
      // Only this reader is told: what is damaged is found by whoever needs it, and nothing is decided by it.
      if (!(error instanceof KvraftError)) throw error;
      reading.scan.close();
      this.#readings.delete(token);
      return replies.refuse(replyTo, "ErrLevelDB", error.message);
    }
    replies.answer(replyTo, "OK", (body) => encodeSnapshotPiece(body, reading.piece!));
  }

  #advance(reading: Reading): void {
    const rows = reading.scan.read(snapshotPieceBytes);
    const tookMs = (1000 * (rows?.length ?? 0)) / snapshotBytesPerSecondMax;
    this.#freeAtMs = Math.max(this.#freeAtMs, reading.readAtMs) + tookMs;
    reading.number++;
    reading.sentBytes += rows?.length ?? 0;
    if (rows !== undefined) reading.crc = crc32(rows, reading.crc);
    if (rows === undefined) reading.scan.close();
    const end = rows === undefined ? { rowCount: reading.scan.rows, crc: reading.crc } : undefined;
    reading.piece = { rows: rows ?? new Uint8Array(0), end };
  }
}

function peerOf({ connection }: ReplyTo): NodeId | undefined {
  return connection.context?.peer;
}

/** A small state holds the log for so many bytes at least. */
const heldLogBytesMin = 256 * 1024 * 1024;
