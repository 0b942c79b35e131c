/**
 * Exactly once (thesis 6.3): which commands of which client were applied, and what they gave. Part of the replicated
 * state: every replica does the same to it at the same log index, and no local clock is read.
 *
 * A session opens with its first command. Per session only the command after the last one is applied; a duplicate gets
 * the original result. It ends when the log's time has passed its life, or when the table is full and it was quiet for
 * the longest. A command that would open a session is refused when the session may have existed and ended: when it
 * was born longer ago than a life, or not after a session that was evicted. So a retry is never applied twice.
 */
import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import { ByteReader, ByteWriter, DecodeError } from "../lib/codec.ts";
import type { SessionStamp } from "./command.ts";
import { sessionLifeMs, sessionResultsMax, sessionsMax } from "./limits.ts";
import { decodeResult, encodeResult, type Result } from "./result.ts";

interface Session {
  readonly name: string;
  readonly bornMs: number;
  /** Log time of the last command; at least bornMs. */
  activeMs: number;
  /** Log index of the last command: the order in which sessions fell quiet, equal on all replicas. */
  activeIndex: number;
  /** Sequence number of the last command that was applied. */
  last: number;
  /** Results of the commands first .. last; those before are acknowledged. */
  first: number;
  results: Result[];
}

/** What a session says of a command, before it is applied. */
export type Admission =
  | { readonly kind: "apply" }
  | { readonly kind: "duplicate"; readonly result: Result }
  | { readonly kind: "refuse"; readonly status: "ErrSessionEnded" | "ErrOutOfOrder" };

const apply: Admission = { kind: "apply" };
const ended: Admission = { kind: "refuse", status: "ErrSessionEnded" };
const outOfOrder: Admission = { kind: "refuse", status: "ErrOutOfOrder" };

export class SessionTable {
  /** In the order in which they were last active, the quietest first. */
  readonly #sessions = new Map<string, Session>();
  /** Names of sessions that changed or ended since `takeChanges`. */
  readonly #changed = new Set<string>();
  /** No session born at or before this time may open: an evicted one might be among them. */
  #bornFloorMs: number;
  readonly #sessionsMax: number;

  constructor(bornFloorMs = 0, most = sessionsMax) {
    this.#bornFloorMs = bornFloorMs;
    this.#sessionsMax = most;
  }

  get size(): number {
    return this.#sessions.size;
  }

  get bornFloorMs(): number {
    return this.#bornFloorMs;
  }

  /** What would happen to this command now; changes nothing. */
  admit(stamp: SessionStamp, clockMs: number): Admission {
    const session = this.#sessions.get(stamp.name);
    if (session === undefined || isExpired(session, clockMs)) {
      if (!this.#mayOpen(stamp, clockMs)) return ended;
      return stamp.sequence === 1 ? apply : outOfOrder;
    }
    if (session.bornMs !== stamp.bornMs) return ended;
    if (stamp.sequence > session.last + 1) return outOfOrder;
    if (stamp.sequence === session.last + 1) {
      const kept = session.last - Math.max(stamp.acknowledged, session.first - 1);
      return kept >= sessionResultsMax ? outOfOrder : apply;
    }
    const result = session.results[stamp.sequence - session.first];
    return result === undefined ? ended : { kind: "duplicate", result };
  }

  /** Records the result of a command that was admitted with `apply`. */
  record(stamp: SessionStamp, index: number, clockMs: number, result: Result): void {
    let session = this.#sessions.get(stamp.name);
    if (session !== undefined && isExpired(session, clockMs)) {
      this.#sessions.delete(stamp.name);
      session = undefined;
    }
    session ??= this.#open(stamp, clockMs);
    assert(stamp.sequence === session.last + 1, "a session applies its commands in order");
    session.last = stamp.sequence;
    session.results.push(result);
    const acknowledged = Math.min(stamp.acknowledged, session.last - 1) - session.first + 1;
    if (acknowledged > 0) {
      session.results.splice(0, acknowledged);
      session.first += acknowledged;
    }
    session.activeMs = Math.max(clockMs, session.bornMs);
    session.activeIndex = index;
    this.#sessions.delete(stamp.name);
    this.#sessions.set(stamp.name, session);
    this.#changed.add(stamp.name);
  }

  /** What changed since the last call: the encoded session, or undefined for one that ended. */
  takeChanges(): { name: string; record: Bytes | undefined }[] {
    const changes = [...this.#changed].map((name) => {
      const session = this.#sessions.get(name);
      return { name, record: session === undefined ? undefined : encodeSession(session) };
    });
    this.#changed.clear();
    return changes;
  }

  /** Puts back sessions that were stored, in any order. */
  restore(records: Iterable<{ name: string; record: Bytes }>): void {
    const sessions = [...records].map(({ name, record }) => decodeSession(name, record));
    sessions.sort((a, b) => a.activeIndex - b.activeIndex);
    for (const session of sessions) this.#sessions.set(session.name, session);
  }

  #mayOpen(stamp: SessionStamp, clockMs: number): boolean {
    return stamp.bornMs > this.#bornFloorMs && clockMs - stamp.bornMs <= sessionLifeMs;
  }

  #open(stamp: SessionStamp, clockMs: number): Session {
    assert(stamp.sequence === 1, "a session opens with its first command");
    for (const session of this.#sessions.values()) {
      const isFull = this.#sessions.size >= this.#sessionsMax;
      if (!isFull && !isExpired(session, clockMs)) break;
      if (!isExpired(session, clockMs)) this.#bornFloorMs = Math.max(this.#bornFloorMs, session.bornMs);
      this.#sessions.delete(session.name);
      this.#changed.add(session.name);
    }
    const { name, bornMs } = stamp;
    return { name, bornMs, activeMs: clockMs, activeIndex: 0, last: 0, first: 1, results: [] };
  }
}

/** The life is over when log time has passed it: then a command that would open it again is refused as too old. */
function isExpired(session: Session, clockMs: number): boolean {
  return clockMs - session.activeMs > sessionLifeMs;
}

/** session := version u8 (1), bornMs, activeMs, activeIndex, last, first: varints, then results of first .. last */
function encodeSession(session: Session): Bytes {
  const writer = new ByteWriter(32 + 8 * session.results.length);
  writer.u8(1);
  writer.varint(session.bornMs);
  writer.varint(session.activeMs);
  writer.varint(session.activeIndex);
  writer.varint(session.last);
  writer.varint(session.first);
  for (const result of session.results) encodeResult(writer, result);
  return writer.take();
}

function decodeSession(name: string, record: Bytes): Session {
  const reader = new ByteReader(record);
  const version = reader.u8();
  if (version !== 1) throw new DecodeError(`a session has version ${version}, 1 is known`);
  const bornMs = reader.varint();
  const activeMs = reader.varint();
  const activeIndex = reader.varint();
  const last = reader.varint();
  const first = reader.varint();
  if (last - first >= sessionResultsMax) throw new DecodeError("a session holds more results than are kept");
  const results: Result[] = [];
  for (let sequence = first; sequence <= last; sequence++) results.push(decodeResult(reader));
  reader.end();
  return { name, bornMs, activeMs, activeIndex, last, first, results };
}
