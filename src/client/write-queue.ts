import type { Clock, Timer } from "../env/clock.ts";
import { encodeCommand, type KeyCommandType } from "../kv/command.ts";
import { type Bytes, emptyBytes } from "../lib/bytes.ts";
import type { ByteWriter } from "../lib/codec.ts";
import { type Linked, LinkedList } from "../lib/linked-list.ts";
import type { ClientEnd } from "../rpc/client-end.ts";
import { method } from "../rpc/method.ts";
import { encodeRequestHead } from "../rpc/request.ts";
import { type Failure, type Reply, replyOf } from "./call-reply.ts";
import { KVError } from "./kv-error.ts";
import type { LeaderSearch } from "./leader-search.ts";
import { attemptTimeoutMs, deadlineGraceMs, inFlightMax, sessionIdleMsMax } from "./limits.ts";

interface Write extends Linked<Write> {
  readonly type: KeyCommandType;
  readonly key: Bytes;
  readonly value: Bytes;
  readonly deadlineMs: number;
  readonly resolve: (status: "OK" | "ErrNoKey") => void;
  readonly reject: (error: KVError) => void;
  /** Its place in its session, both given when it is sent for the first time. */
  session: Session | undefined;
  sequence: number;
  /** Attempts in this session that may have been proposed, or may still be. */
  openAttempts: number;
  /** The caller was told that the outcome is unknown; later writes of the session still need it to be decided. */
  isAbandoned: boolean;
}

interface Session {
  readonly name: string;
  bornMs: number | undefined;
  nextSequence: number;
  usedAtMs: number;
}

/** A lease time, and when it was told. */
interface Told {
  readonly timeMs: number;
  readonly atMs: number;
}

/** One sending of one write. */
interface Attempt {
  readonly end: ClientEnd;
  readonly round: number;
  readonly timeoutMs: number;
}

export interface WriteQueueOptions {
  readonly clock: Clock;
  readonly search: LeaderSearch;
  /** Draws the name of a session. */
  readonly newName: () => string;
}

/**
 * The writes of one client, in one session, in order: applied exactly once each, however often they are sent.
 *
 * All that wait are sent one behind the other to the node that seems to lead. When anything fails a new round begins:
 * all of them are sent again, in order and with the numbers they had, to whoever may lead now. A write that certainly
 * was never proposed leaves a gap in its session, behind which nothing can have been applied: what comes after it
 * moves to a new session.
 */
export class WriteQueue {
  readonly #options: WriteQueueOptions;
  /**
   * What is not decided, in the order of the calls. Invariant: the writes of a session stand together, and those that
   * were never sent stand last. Only the first session's are sent: so no later call overtakes an earlier one.
   */
  readonly #queue = new LinkedList<Write>();
  /** The first that was not sent in this round. Invariant: so were all before it, and none behind it. */
  #unsent: Write | undefined;
  /** The one that new writes join. */
  #session: Session | undefined;
  #round = 1;
  /** The leader's lease time as it told it when a session ended, and when: the next session is dated by it. */
  #told: Told | undefined;
  /** Lease time as it was told last, by whichever server: for those that did not know it at their hello. */
  #lastTold: Told | undefined;
  /** Attempts of this round that are not answered. */
  #inFlight = 0;
  #pause: Timer | undefined;
  #deadline: Timer | undefined;
  #lastFailure = "no server was asked";
  #isClosed = false;

  constructor(options: WriteQueueOptions) {
    this.#options = options;
  }

  /** Resolves when the write is decided; rejects with a KVError. Key and value must not change until then. */
  write(type: KeyCommandType, key: Bytes, value: Bytes, timeoutMs: number): Promise<"OK" | "ErrNoKey"> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed)
        return reject(new KVError("not-done", "Closed", `Cannot ${type}: the client is closed`));
      const deadlineMs = this.#options.clock.monotonicMs() + timeoutMs;
      const write = newWrite({ type, key, value, deadlineMs, resolve, reject });
      this.#queue.add(write);
      this.#unsent ??= write;
      this.#watchDeadlines();
      this.#pump();
    });
  }

  /** Rejects what waits. */
  close(): void {
    this.#isClosed = true;
    this.#pause?.cancel();
    this.#deadline?.cancel();
    for (const write of this.#queue) {
      giveUp(write, "Closed", "the client was closed");
      this.#remove(write);
    }
  }

  /** Sends what was not sent in this round, in order, as far as the window goes. */
  #pump(): void {
    if (this.#pause !== undefined || this.#isClosed) return;
    while (this.#unsent !== undefined && this.#inFlight < inFlightMax) {
      const write = this.#unsent;
      const { first } = this.#queue;
      if (write !== first && (write.session ?? this.#session) !== first?.session) return;
      this.#unsent = write.next;
      this.#send(write);
    }
  }

  #send(write: Write): void {
    const { clock, search } = this.#options;
    const session = this.#join(write);
    const end = search.current;
    const round = this.#round;
    // The request may be encoded later, after a dial, when the write stands in another session.
    const { sequence } = write;
    write.openAttempts++;
    this.#inFlight++;
    const leftMs = write.isAbandoned ? attemptTimeoutMs : write.deadlineMs - clock.monotonicMs();
    const timeoutMs = Math.max(1, Math.min(attemptTimeoutMs, leftMs));
    const encode = (body: ByteWriter) => {
      session.bornMs ??= this.#bornMs(end);
      encodeRequestHead(body, timeoutMs);
      const acknowledged = Math.min(this.#acknowledged(session), sequence - 1);
      const { name, bornMs } = session;
      const { type, key, value } = write;
      const stamp = { name, sequence, acknowledged, bornMs };
      encodeCommand(body, { type, timeMs: 0, session: stamp, principal: emptyBytes, key, value });
    };
    end.call(write.type === "put" ? method.put : method.delete, encode, timeoutMs).then(
      (result) => this.#settled(write, session, { end, round, timeoutMs }, replyOf(result, noPayload)),
      (error: unknown) => this.#settled(write, session, { end, round, timeoutMs }, refusedHere(error)),
    );
  }

  /** Lease time now, as the leader told it in a refusal, or else as this server told it at its hello. */
  #bornMs(end: ClientEnd): number {
    const told = this.#told;
    this.#told = undefined;
    const [nowMs, helloMs] = [this.#options.clock.monotonicMs(), end.serverTimeMs];
    if (told !== undefined) this.#lastTold = told;
    else if (helloMs > 0) this.#lastTold = { timeMs: helloMs, atMs: nowMs };
    // A server that knows no lease time tells 0. No server opens a session of that date, and the leader's refusal tells
    // a better one.
    if (this.#lastTold === undefined) return 0;
    return this.#lastTold.timeMs + Math.floor(nowMs - this.#lastTold.atMs);
  }

  /** The write's session: the one it was sent in before, or the present one. */
  #join(write: Write): Session {
    if (write.session !== undefined) return write.session;
    const { clock, newName } = this.#options;
    const nowMs = clock.monotonicMs();
    const isFirst = write === this.#queue.first;
    if (isFirst && this.#session !== undefined && nowMs - this.#session.usedAtMs > sessionIdleMsMax)
      this.#session = undefined;
    this.#session ??= { name: newName(), bornMs: undefined, nextSequence: 1, usedAtMs: nowMs };
    this.#session.usedAtMs = nowMs;
    write.session = this.#session;
    write.sequence = this.#session.nextSequence++;
    return this.#session;
  }

  /** Everything of the session before its oldest write that waits was answered. */
  #acknowledged(session: Session): number {
    const oldest = this.#queue.first;
    return oldest?.session === session ? oldest.sequence - 1 : 0;
  }

  #settled(write: Write, session: Session, attempt: Attempt, reply: Reply<void>): void {
    const { end, round } = attempt;
    if (round === this.#round) this.#inFlight--;
    if (!write.isListed || write.session !== session) return this.#pump();
    if (reply.kind === "answer") {
      this.#options.search.found(end);
      if (!write.isAbandoned) write.resolve(reply.status);
      this.#remove(write);
      this.#dropAbandoned();
      return this.#pump();
    }
    if (!reply.mayBeProposed) write.openAttempts--;
    // What an earlier round failed with is no news: all of it was sent again.
    if (round !== this.#round) return;
    this.#lastFailure = reply.text;
    if (reply.retryable) return this.#nextRound(attempt, reply);
    if (reply.code === "ErrSessionEnded") this.#sessionEnded(write, attempt, reply);
    else this.#refused(write, reply);
    this.#pump();
  }

  /** Sends everything again, to whoever may lead now. What is under way may still be answered. */
  #nextRound({ end, timeoutMs }: Attempt, failure: Failure): void {
    const { clock, search } = this.#options;
    this.#round++;
    this.#inFlight = 0;
    this.#unsent = this.#queue.first;
    const waitMs = search.failed(end, failure, timeoutMs, clock.monotonicMs());
    this.#pause?.cancel();
    this.#pause = clock.after(waitMs, () => {
      this.#pause = undefined;
      this.#pump();
    });
  }

  /** The servers have forgotten the session. A write that was never proposed goes into another one. */
  #sessionEnded(write: Write, attempt: Attempt, failure: Failure): void {
    const { timeMs } = failure;
    if (timeMs !== undefined) this.#told = { timeMs, atMs: this.#options.clock.monotonicMs() };
    if (mayBeApplied(write)) {
      giveUp(write, failure.code, "the session ended before the outcome was known");
      if (this.#session === write.session) this.#session = undefined;
      this.#remove(write);
      return this.#dropAbandoned();
    }
    const couldNotOpen = write.sequence === 1;
    this.#renew(write.session!, write.sequence);
    if (!couldNotOpen) return;
    // The session was dated wrongly: by a follower, or by a leader of long ago. Without a better time, ask for one.
    this.#lastTold = undefined;
    if (timeMs === undefined) attempt.end.disconnect("lease time has to be told anew");
    this.#nextRound(attempt, failure);
  }

  /** A server refuses the write, and would again. */
  #refused(write: Write, failure: Failure): void {
    const session = write.session!;
    this.#remove(write);
    if (!mayBeApplied(write)) {
      if (!write.isAbandoned) write.reject(new KVError("refused", failure.code, failure.text));
      return this.#renew(session, write.sequence);
    }
    // Another server took it before, with larger limits. Whether it was applied cannot be found out any more, and so
    // neither what became of those behind it.
    giveUp(write, failure.code, failure.text);
    for (const other of this.#queue) {
      if (other.session !== session || !mayBeApplied(other)) continue;
      giveUp(other, failure.code, "it waited for a write that was refused, and whose outcome is unknown");
      this.#remove(other);
    }
    this.#renew(session, 0);
  }

  /**
   * Nothing of the session from this number on was applied or can be any more: moves it, in order, into a new session.
   * What nobody waits for is dropped.
   */
  #renew(session: Session, from: number): void {
    if (this.#session === session) this.#session = undefined;
    let first: Write | undefined;
    // What stands before the moved writes and was not sent in this round stays the next to be sent.
    let isUnsentBefore = false;
    for (const write of this.#queue) {
      isUnsentBefore ||= first === undefined && write === this.#unsent;
      if (write.session === undefined) break;
      if (write.session !== session || write.sequence < from) continue;
      if (write.isAbandoned) this.#remove(write);
      else {
        startAnew(write);
        first ??= write;
      }
    }
    if (first !== undefined && !isUnsentBefore) this.#unsent = first;
  }

  #remove(write: Write): void {
    if (this.#unsent === write) this.#unsent = write.next;
    this.#queue.remove(write);
  }

  /** When only abandoned writes are left nobody needs their outcome, and their session has no end that is known. */
  #dropAbandoned(): void {
    for (const write of this.#queue) if (!write.isAbandoned) return;
    if (this.#queue.first === undefined) return;
    for (const write of this.#queue) this.#remove(write);
    this.#session = undefined;
  }

  #watchDeadlines(): void {
    if (this.#deadline !== undefined) return;
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const write of this.#queue)
      if (!write.isAbandoned) earliestMs = Math.min(earliestMs, write.deadlineMs);
    if (earliestMs === Number.POSITIVE_INFINITY) return;
    const { clock } = this.#options;
    // An attempt that ends with its write says first whether it was sent.
    const waitMs = Math.max(0, earliestMs - clock.monotonicMs()) + deadlineGraceMs;
    this.#deadline = clock.after(waitMs, () => {
      this.#deadline = undefined;
      this.#expire(clock.monotonicMs());
      this.#watchDeadlines();
      this.#pump();
    });
  }

  #expire(nowMs: number): void {
    for (const write of this.#queue) {
      if (write.isAbandoned || write.deadlineMs > nowMs) continue;
      giveUp(write, "Deadline", this.#lastFailure);
      if (mayBeApplied(write)) write.isAbandoned = true;
      else {
        this.#remove(write);
        if (write.session !== undefined) this.#renew(write.session, write.sequence);
      }
    }
    this.#dropAbandoned();
  }
}

function noPayload(): void {}

type Asked = Pick<Write, "type" | "key" | "value" | "deadlineMs" | "resolve" | "reject">;

function newWrite(asked: Asked): Write {
  return {
    ...asked,
    session: undefined,
    sequence: 0,
    openAttempts: 0,
    isAbandoned: false,
    previous: undefined,
    next: undefined,
    isListed: false,
  };
}

function startAnew(write: Write): void {
  write.session = undefined;
  write.sequence = 0;
  write.openAttempts = 0;
}

/** Whether an attempt of it may have been applied, or may be yet. A session that is dated by 0 opens on no server. */
function mayBeApplied({ openAttempts, session }: Write): boolean {
  return openAttempts > 0 && session?.bornMs !== 0;
}

/** Tells the caller what is known: certainly not done, or unknown. */
function giveUp(write: Write, code: string, why: string): void {
  if (write.isAbandoned) return;
  if (mayBeApplied(write))
    write.reject(new KVError("unknown", code, `The outcome of the ${write.type} is unknown: ${why}`));
  else write.reject(new KVError("not-done", code, `Cannot ${write.type}, and nothing was changed: ${why}`));
}

/** The request could not even be encoded, for example because it is too large for any frame. */
function refusedHere(error: unknown): Failure {
  const text = error instanceof Error ? error.message : String(error);
  const failure = { retryable: false, mayBeProposed: false, leader: undefined, isLate: false };
  return { kind: "failure", code: "ErrTooLarge", text, ...failure };
}
