import type { Clock } from "../env/clock.ts";
import type { Address } from "../lib/address.ts";
import type { ByteReader, ByteWriter } from "../lib/codec.ts";
import { messageOf } from "../lib/error.ts";
import type { ClientEnd } from "../rpc/client-end.ts";
import type { Method } from "../rpc/method.ts";
import type { CallResult } from "../rpc/pending-calls.ts";
import { encodeRequestHead } from "../rpc/request.ts";
import { type Failure, replyOf } from "./call-reply.ts";
import { KVError } from "./kv-error.ts";
import type { LeaderSearch } from "./leader-search.ts";

/** A request for the leader, which may be sent any number of times: it reads, or what it changes it changes once. */
export interface LeaderRequest<T> {
  /** What it does, for errors: "get". */
  readonly name: string;
  readonly method: Method;
  /** Appends the arguments, behind the head. */
  readonly write: (body: ByteWriter) => void;
  readonly read: (payload: ByteReader) => T;
  /** How long one try may take, in ms. */
  readonly attemptMs: number;
  /** It is no read: when a try may have been carried out and nobody said so, the outcome is unknown. */
  readonly isChange?: true;
  /** Who would answer better than `end`, which has; undefined when its answer is the one. */
  readonly betterThan?: (answer: T, end: ClientEnd) => { readonly leader: Address | undefined } | undefined;
}

export interface LeaderCallsOptions {
  readonly clock: Clock;
  readonly search: LeaderSearch;
  /** How long a request may take, in ms. */
  readonly timeoutMs: number;
}

/** What became of a request by its deadline. */
interface Tries {
  openAttempts: number;
  lastFailure: string;
}

/** Requests that only the leader can answer, one by one and in no order. Writes of keys have a queue of their own. */
export class LeaderCalls {
  readonly #options: LeaderCallsOptions;
  #isClosed = false;

  constructor(options: LeaderCallsOptions) {
    this.#options = options;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** What waits fails, as soon as its end is closed too. */
  close(): void {
    this.#isClosed = true;
  }

  /**
   * Asks until somebody answers as the leader, or the time is up. Undefined when the answer is that there is no such key.
   * `patienceMs` may be shorter than a request's time.
   */
  async ask<T>(
    request: LeaderRequest<T>,
    patienceMs = this.#options.timeoutMs,
  ): Promise<{ payload: T; end: ClientEnd } | undefined> {
    const { clock, search } = this.#options;
    const deadlineMs = clock.monotonicMs() + patienceMs;
    const tries: Tries = { openAttempts: 0, lastFailure: "no server was asked" };
    for (;;) {
      const leftMs = deadlineMs - clock.monotonicMs();
      if (this.#isClosed)
        throw this.#gaveUp(request, "Closed", { ...tries, lastFailure: "the client is closed" });
      if (leftMs <= 0) throw this.#gaveUp(request, "Deadline", tries);
      const end = search.current;
      const timeoutMs = Math.min(leftMs, request.attemptMs);
      const reply = replyOf(await this.#call(end, request, timeoutMs), request.read);
      if (reply.kind === "answer") {
        if (reply.status !== "OK") return this.#found(end, undefined);
        const better = request.betterThan?.(reply.payload, end);
        if (better === undefined) return this.#found(end, { payload: reply.payload, end });
        tries.lastFailure = "no node leads";
        await this.#goOn(end, { ...better, isLate: false, code: "ErrWrongLeader" }, timeoutMs, deadlineMs);
        continue;
      }
      if (request.isChange && reply.mayBeProposed) tries.openAttempts++;
      tries.lastFailure = reply.text;
      if (!reply.retryable) throw this.#refused(request, reply, tries);
      await this.#goOn(end, reply, timeoutMs, deadlineMs);
    }
  }

  /** As `ask` for what is about no key: an answer that there is no such key is none. */
  async demand<T>(request: LeaderRequest<T>, patienceMs?: number): Promise<{ payload: T; end: ClientEnd }> {
    const answer = await this.ask(request, patienceMs);
    if (answer !== undefined) return answer;
    throw new KVError(
      "refused",
      "ErrNoKey",
      `Cannot ${request.name}: the server answers that there is no such key`,
    );
  }

  #found<T>(end: ClientEnd, answer: T): T {
    this.#options.search.found(end);
    return answer;
  }

  async #goOn(
    end: ClientEnd,
    failure: Pick<Failure, "leader" | "isLate" | "code">,
    timeoutMs: number,
    deadlineMs: number,
  ): Promise<void> {
    const { clock, search } = this.#options;
    const waitMs = search.failed(end, failure, timeoutMs, clock.monotonicMs());
    await sleep(clock, Math.min(waitMs, deadlineMs - clock.monotonicMs()));
  }

  /** What cannot even be encoded was refused before it left. */
  #call<T>(end: ClientEnd, request: LeaderRequest<T>, timeoutMs: number): Promise<CallResult> {
    const encode = (body: ByteWriter) => {
      encodeRequestHead(body, timeoutMs);
      request.write(body);
    };
    return end.call(request.method, encode, timeoutMs).catch((error: unknown) => {
      throw new KVError("refused", "ErrTooLarge", messageOf(error));
    });
  }

  #gaveUp<T>({ name }: LeaderRequest<T>, code: string, { openAttempts, lastFailure }: Tries): KVError {
    if (openAttempts === 0) return new KVError("not-done", code, `Cannot ${name}: ${lastFailure}`);
    return new KVError("unknown", code, `The outcome is unknown of the attempt to ${name}: ${lastFailure}`);
  }

  /** A try before may have done it all the same. */
  #refused<T>(request: LeaderRequest<T>, { code, text }: Failure, tries: Tries): KVError {
    return tries.openAttempts === 0 ? new KVError("refused", code, text) : this.#gaveUp(request, code, tries);
  }
}

export function sleep(clock: Clock, ms: number): Promise<void> {
  if (ms <= 0) return Promise.resolve();
  return new Promise((resolve) => clock.after(ms, resolve));
}
