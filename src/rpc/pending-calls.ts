import type { Clock, Timer } from "../env/clock.ts";
import type { Bytes } from "../lib/bytes.ts";
import type { ByteWriter } from "../lib/codec.ts";
import { deadlineGrainMs } from "./limits.ts";

/**
 * Why a call has no reply.
 * - `unreachable` there is no connection and none could be made
 * - `refused`     the other side answered the hello with no
 * - `lost`        the connection broke while the call waited
 * - `deadline`    no reply came in time
 * - `full`        too many calls or bytes wait already
 * - `closed`      our end was closed
 */
export type FailureReason = "unreachable" | "refused" | "lost" | "deadline" | "full" | "closed";

export interface CallFailure {
  readonly ok: false;
  readonly reason: FailureReason;
  /** False only when certainly no byte of the request left: then it has no effect and may be sent elsewhere. */
  readonly wasSent: boolean;
  readonly text: string;
}

/** What became of a call. `body` may be kept; it keeps the chunk it arrived in alive. */
export type CallResult = { readonly ok: true; readonly body: Bytes } | CallFailure;

/** A call between `call` and its result. */
export interface PendingCall {
  readonly method: number;
  readonly write: (body: ByteWriter) => void;
  readonly timeoutMs: number;
  readonly deadlineAt: number;
  readonly resolve: (result: CallResult) => void;
  /** The caller was wrong. */
  readonly reject: (error: unknown) => void;
  /** Where the request begins in its connection's outgoing stream; -1 while it waits for a connection. */
  offset: number;
}

/** Calls that wait, by request id, and one timer for all of their deadlines. */
export class PendingCalls {
  readonly #clock: Clock;
  readonly #expired: (call: PendingCall) => void;
  readonly #callById = new Map<number, PendingCall>();
  #lastId = 0;
  #timer: Timer | undefined = undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  /** `expired` is called with each call whose deadline has passed, after it was removed. */
  constructor(clock: Clock, expired: (call: PendingCall) => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  get size(): number {
    return this.#callById.size;
  }

  /** Returns an id that no other pending call has. 0 is never one. */
  add(call: PendingCall): number {
    do this.#lastId = this.#lastId === 0xffff_ffff ? 1 : this.#lastId + 1;
    while (this.#callById.has(this.#lastId));
    this.#callById.set(this.#lastId, call);
    if (call.deadlineAt < this.#timerAt) this.#arm(call.deadlineAt);
    return this.#lastId;
  }

  /** The call, removed; undefined when it is not waiting any more. */
  take(id: number): PendingCall | undefined {
    const call = this.#callById.get(id);
    if (call !== undefined) this.#callById.delete(id);
    return call;
  }

  /** All calls, removed, in the order they were made; the timer is stopped. */
  takeAll(): PendingCall[] {
    const calls = [...this.#callById.values()];
    this.#callById.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    return calls;
  }

  /** Those that were sent, or those that wait for a connection: removed, in the order they were made. */
  takeWhere(wasSent: boolean): PendingCall[] {
    const calls = [...this.#callById].filter(([, call]) => call.offset >= 0 === wasSent);
    for (const [id] of calls) this.#callById.delete(id);
    return calls.map(([, call]) => call);
  }

  /** In the order they were made. */
  entries(): IterableIterator<[number, PendingCall]> {
    return this.#callById.entries();
  }

  #arm(at: number): void {
    this.#timer?.cancel();
    this.#timerAt = at;
    const ms = Math.max(deadlineGrainMs, Math.ceil(at - this.#clock.monotonicMs()));
    this.#timer = this.#clock.after(ms, () => this.#expire());
  }

  /**
   * Ends the calls that are due. The timer stands at the earliest deadline there ever was, not at the earliest that still
   * waits: calls that are answered in time never touch it.
   */
  #expire(): void {
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = this.#clock.monotonicMs();
    let next = Number.POSITIVE_INFINITY;
    const due: PendingCall[] = [];
    for (const [id, call] of this.#callById) {
      if (call.deadlineAt <= now) {
        this.#callById.delete(id);
        due.push(call);
      } else next = Math.min(next, call.deadlineAt);
    }
    if (next !== Number.POSITIVE_INFINITY) this.#arm(next);
    for (const call of due) this.#expired(call);
  }
}
