import type { Clock, Timer } from "../env/clock.ts";
import { type CommandType, encodeCommand } from "../kv/command.ts";
import { type Bytes, emptyBytes } from "../lib/bytes.ts";
import type { ByteWriter } from "../lib/codec.ts";
import type { ClientEnd } from "../rpc/client-end.ts";
import { method } from "../rpc/method.ts";
import { encodeRequestHead } from "../rpc/request.ts";
import { type Reply, replyOf } from "./call-reply.ts";
import { KVError } from "./kv-error.ts";
import type { LeaderSearch } from "./leader-search.ts";
import { attemptTimeoutMs, deadlineGraceMs, inFlightMax, sessionIdleMsMax } from "./limits.ts";

interface Write {
  readonly type: CommandType;
  readonly key: Bytes;
  readonly value: Bytes;
  readonly deadlineMs: number;
  readonly resolve: (status: "OK" | "ErrNoKey") => void;
  readonly reject: (error: KVError) => void;
  /** Its place in its session, both given when it is sent for the first time. */
  session: Session | undefined;
  sequence: number;
  /** The round in which it was sent last. */
  round: number;
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
  #queue: Write[] = [];
  #session: Session | undefined;
  #round = 1;
  /** Attempts of this round that are not answered. */
  #inFlight = 0;
  #pause: Timer | undefined;
  #deadline: Timer | undefined;
  #lastFailure = "no server was asked";
  #isClosed = false;

  constructor(options: WriteQueueOptions) {
    this.#options = options;
  }

  /** Resolves when the write is decided; rejects with a KVError. */
  write(type: CommandType, key: Bytes, value: Bytes, timeoutMs: number): Promise<"OK" | "ErrNoKey"> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed)
        return reject(new KVError("not-done", "Closed", `Cannot ${type}: the client is closed`));
      const deadlineMs = this.#options.clock.monotonicMs() + timeoutMs;
      const fresh = { session: undefined, sequence: 0, round: 0, openAttempts: 0, isAbandoned: false };
      this.#queue.push({ type, key, value, deadlineMs, resolve, reject, ...fresh });
      this.#watchDeadlines();
      this.#pump();
    });
  }

  /** Rejects what waits. */
  close(): void {
    this.#isClosed = true;
    this.#pause?.cancel();
    this.#deadline?.cancel();
    for (const write of this.#queue) giveUp(write, "Closed", "the client was closed");
    this.#queue = [];
  }

  /** Sends what was not sent in this round, in order, as far as the window goes. */
  #pump(): void {
    if (this.#pause !== undefined || this.#isClosed) return;
    for (const write of this.#queue) {
      if (this.#inFlight >= inFlightMax) return;
      if (write.round !== this.#round) this.#send(write);
    }
  }

  #send(write: Write): void {
    const { clock, search } = this.#options;
    const session = this.#join(write);
    const end = search.current;
    const round = this.#round;
    write.round = round;
    write.openAttempts++;
    this.#inFlight++;
    const leftMs = write.isAbandoned ? attemptTimeoutMs : write.deadlineMs - clock.monotonicMs();
    const timeoutMs = Math.max(1, Math.min(attemptTimeoutMs, leftMs));
    const encode = (body: ByteWriter) => {
      session.bornMs ??= end.serverTimeMs;
      encodeRequestHead(body, timeoutMs);
      encodeCommand(body, {
        type: write.type,
        timeMs: 0,
        session: {
          name: session.name,
          sequence: write.sequence,
          acknowledged: this.#acknowledged(session),
          bornMs: session.bornMs,
        },
        principal: emptyBytes,
        key: write.key,
        value: write.value,
      });
    };
    end.call(write.type === "put" ? method.put : method.delete, encode, timeoutMs).then(
      (result) => this.#settled(write, session, end, round, replyOf(result)),
      (error: unknown) => this.#settled(write, session, end, round, refusedHere(error)),
    );
  }

  /** The write's session: the one it was sent in before, or the present one. */
  #join(write: Write): Session {
    if (write.session !== undefined) return write.session;
    const { clock, newName } = this.#options;
    const nowMs = clock.monotonicMs();
    const isFirst = this.#queue[0] === write;
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
    const oldest = this.#queue.find((write) => write.session === session);
    return (oldest?.sequence ?? 1) - 1;
  }

  #settled(write: Write, session: Session, end: ClientEnd, round: number, reply: Reply): void {
    if (round === this.#round) this.#inFlight--;
    const place = this.#queue.indexOf(write);
    if (place < 0 || write.session !== session) return this.#pump();
    if (reply.kind === "answer") {
      this.#options.search.found(end);
      this.#remove(place);
      if (!write.isAbandoned) write.resolve(reply.status);
      return this.#pump();
    }
    if (!reply.mayBeProposed) write.openAttempts--;
    // What an earlier round failed with is no news: all of it was sent again.
    if (round !== this.#round) return;
    this.#lastFailure = reply.text;
    if (reply.retryable) return this.#nextRound(end, reply);
    if (reply.code === "ErrSessionEnded") this.#sessionEnded(write, place);
    else {
      if (!write.isAbandoned) write.reject(new KVError("refused", reply.code, reply.text));
      this.#leaveGap(place);
    }
    this.#pump();
  }

  /** Sends everything again, to whoever may lead now. What is under way may still be answered. */
  #nextRound(end: ClientEnd, reply: Extract<Reply, { kind: "failure" }>): void {
    const { clock, search } = this.#options;
    this.#round++;
    this.#inFlight = 0;
    const waitMs = search.failed(end, reply.leader, clock.monotonicMs());
    this.#pause?.cancel();
    this.#pause = clock.after(waitMs, () => {
      this.#pause = undefined;
      this.#pump();
    });
  }

  /** The servers have forgotten the session. A write that was never proposed goes into another one. */
  #sessionEnded(write: Write, place: number): void {
    if (this.#session === write.session) this.#session = undefined;
    if (write.openAttempts > 0) {
      giveUp(write, "ErrSessionEnded", "the session ended before the outcome was known");
      this.#remove(place);
    } else startAnew(write);
  }

  /** Takes out a write that certainly was not applied, and what stands behind it into a new session. */
  #leaveGap(place: number): void {
    const { session } = this.#queue[place]!;
    this.#queue.splice(place, 1);
    if (session === undefined) return;
    if (this.#session === session) this.#session = undefined;
    for (const write of this.#queue.slice(place)) if (write.session === session) startAnew(write);
  }

  #remove(place: number): void {
    this.#queue.splice(place, 1);
    if (this.#queue.length === 0 || !this.#queue.every((write) => write.isAbandoned)) return;
    // Nobody needs their outcome any more, and their session has no end that is known.
    this.#queue = [];
    this.#session = undefined;
  }

  #watchDeadlines(): void {
    if (this.#deadline !== undefined) return;
    const waiting = this.#queue.filter((write) => !write.isAbandoned);
    if (waiting.length === 0) return;
    const { clock } = this.#options;
    const earliestMs = Math.min(...waiting.map((write) => write.deadlineMs));
    // An attempt that ends with its write says first whether it was sent.
    const waitMs = Math.max(0, earliestMs - clock.monotonicMs()) + deadlineGraceMs;
    this.#deadline = clock.after(waitMs, () => {
      this.#deadline = undefined;
      this.#expire(clock.monotonicMs());
      this.#watchDeadlines();
    });
  }

  #expire(nowMs: number): void {
    for (const write of [...this.#queue]) {
      if (write.isAbandoned || write.deadlineMs > nowMs) continue;
      giveUp(write, "Deadline", this.#lastFailure);
      if (write.openAttempts > 0) write.isAbandoned = true;
      else this.#leaveGap(this.#queue.indexOf(write));
    }
    if (this.#queue.every((write) => write.isAbandoned)) {
      this.#queue = [];
      this.#session = undefined;
    }
  }
}

function startAnew(write: Write): void {
  write.session = undefined;
  write.sequence = 0;
  write.round = 0;
  write.openAttempts = 0;
}

/** Tells the caller what is known: certainly not done, or unknown. */
function giveUp(write: Write, code: string, why: string): void {
  if (write.isAbandoned) return;
  if (write.openAttempts > 0)
    write.reject(new KVError("unknown", code, `The outcome of the ${write.type} is unknown: ${why}`));
  else write.reject(new KVError("not-done", code, `Cannot ${write.type}, and nothing was changed: ${why}`));
}

/** The request could not even be encoded, for example because it is too large for any frame. */
function refusedHere(error: unknown): Reply {
  const text = error instanceof Error ? error.message : String(error);
  const failure = { retryable: false, mayBeProposed: false, leader: undefined };
  return { kind: "failure", code: "ErrTooLarge", text, ...failure };
}
