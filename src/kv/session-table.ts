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
import { type Linked, LinkedList } from "../lib/linked-list.ts";
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
  /** Whether the store has a record of it. */
  isStored: boolean;
  hasEnded: boolean;
  /** Its places in the two lists of the table. */
  readonly byActivity: Place;
  readonly byChange: Place;
}

/** A session's place in a list. */
interface Place extends Linked<Place> {
  readonly session: Session;
}

/** A session that changed: its encoded record, or undefined when it has ended. */
export interface SessionChange {
  readonly name: string;
  readonly record: Bytes | undefined;
}

/**
 * Expired sessions that are removed when one opens. Two would be enough to let the table shrink; all of them at once would
 * be a stall when ten quiet minutes end.
 */
const expiredPerOpening = 8;

/** What a session says of a command, before it is applied. */
export type Admission =
  | { readonly kind: "apply" }
  | { readonly kind: "duplicate"; readonly result: Result }
  | { readonly kind: "refuse"; readonly status: "ErrSessionEnded" | "ErrOutOfOrder" };

const apply: Admission = { kind: "apply" };
const ended: Admission = { kind: "refuse", status: "ErrSessionEnded" };
const outOfOrder: Admission = { kind: "refuse", status: "ErrOutOfOrder" };

export class SessionTable {
  readonly #sessions = new Map<string, Session>();
  /** In the order in which they were last active, the quietest first. */
  readonly #byActivity = new LinkedList<Place>();
  /**
   * Sessions that differ from their stored records. A session that ends before it was ever stored leaves the list. One that
   * was stored stays until its record is deleted, and stands before a later session of the same name.
   */
  readonly #byChange = new LinkedList<Place>();
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
      this.#end(session);
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
    this.#byActivity.remove(session.byActivity);
    this.#byActivity.add(session.byActivity);
    if (!session.byChange.isListed) this.#byChange.add(session.byChange);
  }

  /** The sessions that changed since they were taken last, the first `countMax` of them. */
  takeChanges(countMax = Number.POSITIVE_INFINITY): SessionChange[] {
    const changes: SessionChange[] = [];
    for (const place of this.#byChange) {
      if (changes.length >= countMax) break;
      const { session } = place;
      changes.push({ name: session.name, record: session.hasEnded ? undefined : encodeSession(session) });
      session.isStored = !session.hasEnded;
      this.#byChange.remove(place);
    }
    return changes;
  }

  /** Whether `takeChanges` has something to give. */
  get hasChanges(): boolean {
    return this.#byChange.first !== undefined;
  }

  /** Puts back sessions that were stored, in any order. */
  restore(records: Iterable<{ name: string; record: Bytes }>): void {
    const sessions = [...records].map(({ name, record }) => decodeSession(name, record));
    sessions.sort((a, b) => a.activeIndex - b.activeIndex);
    for (const session of sessions) {
      this.#sessions.set(session.name, session);
      this.#byActivity.add(session.byActivity);
    }
  }

  #mayOpen(stamp: SessionStamp, clockMs: number): boolean {
    return stamp.bornMs > this.#bornFloorMs && clockMs - stamp.bornMs <= sessionLifeMs;
  }

  #open(stamp: SessionStamp, clockMs: number): Session {
    assert(stamp.sequence === 1, "a session opens with its first command");
    for (let removed = 0; removed < expiredPerOpening; removed++) {
      const quietest = this.#byActivity.first?.session;
      if (quietest === undefined || !isExpired(quietest, clockMs)) break;
      this.#end(quietest);
    }
    if (this.#sessions.size >= this.#sessionsMax) this.#evict(this.#byActivity.first!.session);
    const { name, bornMs } = stamp;
    const numbers = { bornMs, activeMs: clockMs, activeIndex: 0, last: 0, first: 1 };
    const session = newSession({ name, ...numbers, results: [], isStored: false });
    this.#sessions.set(name, session);
    return session;
  }

  /** Ends a session that may still be young: none that is as old may open any more. */
  #evict(session: Session): void {
    this.#bornFloorMs = Math.max(this.#bornFloorMs, session.bornMs);
    this.#end(session);
  }

  #end(session: Session): void {
    session.hasEnded = true;
    this.#sessions.delete(session.name);
    this.#byActivity.remove(session.byActivity);
    if (!session.isStored) this.#byChange.remove(session.byChange);
    else if (!session.byChange.isListed) this.#byChange.add(session.byChange);
  }
}

type Stored = Omit<Session, "hasEnded" | "byActivity" | "byChange">;

function newSession(stored: Stored): Session {
  const session = { ...stored, hasEnded: false } as Session;
  const places = { byActivity: newPlace(session), byChange: newPlace(session) };
  return Object.assign(session, places);
}

function newPlace(session: Session): Place {
  return { session, previous: undefined, next: undefined, isListed: false };
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
  const numbers = { bornMs, activeMs, activeIndex, last, first };
  return newSession({ name, ...numbers, results, isStored: true });
}
