import type { Clock } from "../env/clock.ts";
import { type Command, decodeCommand, stampTime } from "../kv/command.ts";
import type { Result } from "../kv/result.ts";
import type { StateMachine } from "../kv/state-machine.ts";
import type { Status } from "../kv/status.ts";
import { type Bytes, ownedBytes } from "../lib/bytes.ts";
import { type ByteReader, DecodeError } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import type { EntryId } from "../raft/types.ts";
import type { Connection } from "../rpc/connection.ts";
import type { Frame } from "../rpc/frame.ts";
import { method } from "../rpc/method.ts";
import { decodeRequestHead, withLife } from "../rpc/request.ts";
import type { ClusterTime } from "./cluster-time.ts";
import type { Driver } from "./driver.ts";
import type { Guest } from "./guest.ts";
import {
  bornAheadMsMax,
  commandBytesMax,
  readTurnMs,
  requestsPerConnectionMax,
  unansweredReadsMax,
} from "./limits.ts";
import type { Replies, ReplyTo } from "./replies.ts";
import { type Waiter, Waiters } from "./waiters.ts";

interface Read extends ReplyTo {
  readonly key: Bytes;
  readonly wantsLife: boolean;
}

export interface ClientRequestsOptions {
  readonly clock: Clock;
  readonly machine: StateMachine;
  readonly driver: Driver;
  readonly keyBytesMax: number;
  readonly valueBytesMax: number;
  readonly requestsInFlightMax: number;
  readonly replies: Replies;
  /** `host:port` of the node that leads as far as is known, or empty. */
  readonly leaderAddress: () => string;
  readonly time: Pick<ClusterTime, "prepare" | "isAhead" | "nextStampMs">;
  /** Takes the requests that are none of a client's usual ones; false for those that are unknown. */
  readonly others: (replyTo: ReplyTo, reader: ByteReader, remainingMs: number) => boolean;
  /** What the node says of itself, as JSON. */
  readonly statusJson: () => string;
}

/** The service of the clients: KVServer.Get, Put, Delete, IsLeader, Status. */
export class ClientRequests {
  readonly #options: ClientRequestsOptions;
  readonly #replies: Replies;
  readonly #waiters = new Waiters<ReplyTo>();
  /** Reads that wait for confirmation, by the context of their batch. */
  readonly #reads = new Map<number, Read[]>();
  /** The reads of this turn, which become one batch. */
  #newReads: Read[] = [];
  /** Batches that may be answered, the oldest first; of the first one so many are. */
  #answerable: (readonly Read[])[] = [];
  #answered = 0;
  #answerableCount = 0;
  /** Until when reads are answered in this turn; 0 before the first. */
  #answerUntilMs = 0;
  #readContext = 0;
  #readCount = 0;

  constructor(options: ClientRequestsOptions) {
    this.#options = options;
    this.#replies = options.replies;
  }

  /** A request arrived. DecodeErrors of what is inside are answered; the connection goes on. */
  handle(connection: Connection<Guest>, frame: Frame): void {
    const replyTo = { connection, method: frame.method, requestId: frame.requestId };
    try {
      const reader = frame.reader();
      const { remainingMs } = decodeRequestHead(reader);
      this.#dispatch(replyTo, reader, remainingMs);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#replies.refuse(replyTo, "NoKeyValue", `Cannot read the request: ${error.message}`);
    }
  }

  /** The entry was applied: who waits for it gets the result, or hears that another entry stands in its place. */
  applied(id: EntryId, result: Result): void {
    const chain = this.#waiters.take(id.index);
    for (let waiter: Waiter<ReplyTo> | undefined = chain; waiter !== undefined; waiter = waiter.next) {
      if (waiter.reply === undefined) continue;
      else if (waiter.term === id.term) this.#answerResult(waiter.reply, result);
      else this.#replies.unknown(waiter.reply, "Another leader's entry took its place in the log");
    }
  }

  /** Whether clients have asked for more than is answered at once: their next requests wait unread. */
  get isBehind(): boolean {
    return this.#answerableCount > unansweredReadsMax;
  }

  /** Reads that may be answered and are not, for want of time. */
  get unansweredCount(): number {
    return this.#answerableCount;
  }

  /** Goes on with reads that an earlier turn had no time for, and asks for those of this turn. */
  turnBegins(): void {
    this.#answerUntilMs = 0;
    if (this.#answerable.length > 0) this.#answerReads();
    if (this.#newReads.length === 0) return;
    const reads = this.#newReads;
    this.#newReads = [];
    const context = ++this.#readContext;
    if (this.#options.driver.isReady && this.#options.driver.readIndex(context)) {
      this.#reads.set(context, reads);
      return;
    }
    this.#readCount -= reads.length;
    for (const read of reads) this.#replies.refuseAsFollower(read);
  }

  /** The state is new enough for the reads of this batch. */
  readable(context: number): void {
    const reads = this.#reads.get(context);
    if (reads === undefined) return;
    this.#reads.delete(context);
    this.#answerable.push(reads);
    this.#answerableCount += reads.length;
    this.#answerReads();
  }

  /** Answers for a few milliseconds, the oldest first; the rest in the next turn, from a state that is no older. */
  #answerReads(): void {
    const { clock, driver } = this.#options;
    if (this.#answerUntilMs === 0) this.#answerUntilMs = clock.monotonicMs() + readTurnMs;
    let untilLook = readsPerLook;
    for (let reads = this.#answerable[0]; reads !== undefined; reads = this.#answerable[0]) {
      while (this.#answered < reads.length) {
        if (untilLook <= 0) {
          if (clock.monotonicMs() >= this.#answerUntilMs) return driver.schedule();
          untilLook = readsPerLook;
        }
        this.#readCount--;
        this.#answerableCount--;
        const bytes = this.#answerRead(reads[this.#answered++]!);
        untilLook -= bytes < largeReadBytes ? 1 : readsPerLook;
      }
      this.#answered = 0;
      this.#answerable.shift();
    }
  }

  /** Nothing that was asked under this leadership can be answered for certain. */
  lostLeadership(): void {
    for (const chain of this.#waiters.takeAll())
      for (let waiter: Waiter<ReplyTo> | undefined = chain; waiter !== undefined; waiter = waiter.next)
        if (waiter.reply !== undefined)
          this.#replies.unknown(waiter.reply, "This node lost the leadership before the outcome was known");
    const late = this.#answerable.map((reads, at) => (at === 0 ? reads.slice(this.#answered) : reads));
    const batches = [...late, ...this.#reads.values(), this.#newReads];
    this.#answerable = [];
    this.#answerableCount = 0;
    this.#answered = 0;
    this.#reads.clear();
    this.#newReads = [];
    for (const reads of batches) {
      this.#readCount -= reads.length;
      for (const read of reads) this.#replies.refuseAsFollower(read);
    }
  }

  /** Answers those whose time is up. Called every now and then. */
  expire(): void {
    for (const replyTo of this.#waiters.takeExpired(this.#options.clock.monotonicMs()))
      this.#replies.unknown(replyTo, "It was proposed, and its outcome was not known in time");
  }

  #dispatch(replyTo: ReplyTo, reader: ByteReader, remainingMs: number): void {
    switch (replyTo.method) {
      case method.get:
        this.#get(replyTo, reader);
        return;
      case method.put:
      case method.delete:
        this.#propose(replyTo, reader, remainingMs);
        return;
      case method.isLeader:
        this.#replies.answer(replyTo, "OK", (body) => {
          body.u8(Number(this.#options.driver.isReady));
          body.text(this.#options.leaderAddress());
        });
        return;
      case method.status:
        this.#replies.answer(replyTo, "OK", (body) => body.text(this.#options.statusJson()));
        return;
      default:
        if (this.#options.others(replyTo, reader, remainingMs)) return;
        throw new DecodeError(`method ${replyTo.method} is no request of clients`);
    }
  }

  #get(replyTo: ReplyTo, reader: ByteReader): void {
    const wantsLife = (reader.u8() & withLife) !== 0;
    const key = reader.bytes();
    reader.end();
    const { keyBytesMax } = this.#options;
    if (key.length > keyBytesMax) {
      const { status, text } = tooLarge("key", key.length, keyBytesMax);
      return this.#replies.refuse(replyTo, status, text);
    }
    if (!this.#options.driver.isReady) return this.#replies.refuseAsFollower(replyTo);
    if (this.#isFull(replyTo)) return this.#replies.refuseAsBusy(replyTo);
    this.#readCount++;
    const { connection, method, requestId } = replyTo;
    this.#newReads.push({ connection, method, requestId, key: ownedBytes(key, reader.source), wantsLife });
    this.#options.driver.schedule();
  }

  #propose(replyTo: ReplyTo, reader: ByteReader, remainingMs: number): void {
    const { driver, clock, machine, time } = this.#options;
    const bytes = reader.rest();
    const command = decodeCommand(bytes);
    const problem = this.#problemOf(replyTo.method, command, bytes.length);
    if (problem !== undefined) return this.#replies.refuse(replyTo, problem.status, problem.text);
    if (!driver.isReady) return this.#replies.refuseAsFollower(replyTo);
    const deadlineMs = clock.monotonicMs() + remainingMs;
    const { session } = command;
    if (session !== undefined) {
      // Only the leader judges by its time: a node that is behind would refuse what is right.
      if (time.isAhead(session.bornMs, bornAheadMsMax))
        return this.#replies.refuse(
          replyTo,
          "ErrSessionEnded",
          `The session ${session.name} is born in the future; open another one`,
        );
      const admission = machine.admit(session);
      if (admission.kind === "duplicate") return this.#answerResult(replyTo, admission.result);
      if (admission.kind === "refuse" && admission.status === "ErrSessionEnded")
        return this.#replies.refuse(
          replyTo,
          "ErrSessionEnded",
          `The session ${session.name} has ended; open another one`,
        );
    }
    if (this.#isFull(replyTo)) return this.#replies.refuseAsBusy(replyTo);
    if (session !== undefined && this.#waiters.join(session, replyTo, deadlineMs)) return;
    if (!time.prepare()) return this.#replies.refuseAsBusy(replyTo);
    const owned = ownedBytes(bytes, reader.source);
    stampTime(owned, time.nextStampMs());
    const started = driver.start(owned);
    if (started.ok) this.#waiters.add(started.index, started.term, session, replyTo, deadlineMs);
    else if (started.reason === "busy") this.#replies.refuseAsBusy(replyTo);
    else this.#replies.refuseAsFollower(replyTo);
  }

  /** What is wrong with a command, whoever leads. */
  #problemOf(number: number, command: Command, bytes: number): { status: Status; text: string } | undefined {
    const { keyBytesMax, valueBytesMax } = this.#options;
    if (command.type === "clock" || command.type !== (number === method.put ? "put" : "delete"))
      return {
        status: "NoKeyValue",
        text: `Cannot run a ${command.type} that is asked for by another method`,
      };
    const { key, value } = command;
    if (key.length > keyBytesMax) return tooLarge("key", key.length, keyBytesMax);
    if (value.length > valueBytesMax) return tooLarge("value", value.length, valueBytesMax);
    if (bytes > commandBytesMax)
      return {
        status: "ErrTooLarge",
        text: `The command has ${bytes} bytes, at most ${commandBytesMax} are allowed`,
      };
    return undefined;
  }

  /** Returns how many bytes the value has. */
  #answerRead(read: Read): number {
    try {
      return read.wantsLife ? this.#answerRecord(read) : this.#answerValue(read);
    } catch (error) {
      // Only reads may fail alone: nothing is decided by them.
      if (!(error instanceof KvraftError)) throw error;
      this.#replies.refuse(read, "ErrLevelDB", error.message);
      return 0;
    }
  }

  #answerValue(read: Read): number {
    const value = this.#options.machine.get(read.key);
    if (value === undefined) this.#replies.answer(read, "ErrNoKey");
    else this.#replies.answer(read, "OK", (body) => body.bytes(value));
    return value?.length ?? 0;
  }

  #answerRecord(read: Read): number {
    const record = this.#options.machine.getRecord(read.key);
    if (record === undefined) {
      this.#replies.answer(read, "ErrNoKey");
      return 0;
    }
    this.#replies.answer(read, "OK", (body) => {
      body.bytes(record.value);
      body.varint(record.created);
      body.varint(record.modified);
      body.varint(record.count);
    });
    return record.value.length;
  }

  #answerResult(replyTo: ReplyTo, result: Result): void {
    if (result.status !== "OK" && result.status !== "ErrNoKey")
      return this.#replies.refuse(replyTo, result.status, textOf(result.status));
    this.#replies.answerAt(replyTo, result.status, result.revision);
  }

  #isFull({ connection }: ReplyTo): boolean {
    if (connection.openRequests > requestsPerConnectionMax) return true;
    return this.#waiters.count + this.#readCount >= this.#options.requestsInFlightMax;
  }
}

/** Small reads between two looks at the clock, and the bytes of one after which it is looked at. */
const readsPerLook = 16;
const largeReadBytes = 4096;

function tooLarge(what: string, found: number, most: number): { status: Status; text: string } {
  const text =
    `The ${what} has ${found} bytes, at most ${most} are allowed; ` +
    `store less, or raise limits.${what}Bytes on the servers`;
  return { status: "ErrTooLarge", text };
}

function textOf(status: Status): string {
  if (status === "ErrSessionEnded") return "The session has ended; open another one";
  if (status === "ErrOutOfOrder") return "A command of the session that comes before this one is missing";
  return status;
}
