import { assert } from "../lib/assert.ts";
import type { Index } from "./types.ts";

/**
 * What a leader knows of one follower's log.
 *
 * - `probe`: where the logs agree is not known; one message at a time looks for it.
 * - `replicate`: the logs agree up to `match`, and entries are sent ahead of their acknowledgement, within a window.
 * - `snapshot`: what it needs was dropped from the log; it is told so again and again until it has the state instead.
 *
 * Invariant: match < next, and match never falls.
 */
export class Progress {
  match: Index = 0;
  next: Index;
  state: "probe" | "replicate" | "snapshot" = "probe";
  /** A probe or an offer is under way or could not be sent: nothing more leaves before its reply, or a retry. */
  isPaused = false;
  /** The probe is a repetition: its entries may be on their way already, so it carries none. */
  isRetry = false;
  /** Answered since the leader last asked whether it still has a quorum. */
  isActive = true;
  /** The same of the time between the two questions before. */
  wasActive = true;
  /** The last read round this follower confirmed. */
  confirmedContext = 0;
  /** Last index and bytes of each message that is not acknowledged, oldest first. */
  readonly #inFlight: { last: Index; bytes: number }[] = [];
  #inFlightBytes = 0;
  #waitedTicks = 0;

  constructor(next: Index) {
    assert(next > 0, "the first entry has index 1");
    this.next = next;
  }

  /** Of a follower that has started again, or is another one under the same name. */
  static unheard(next: Index): Progress {
    const progress = new Progress(next);
    progress.isActive = false;
    progress.wasActive = false;
    return progress;
  }

  /** Answered lately: not longer ago than two questions about the quorum. */
  get isHeard(): boolean {
    return this.isActive || this.wasActive;
  }

  get inFlightBytes(): number {
    return this.#inFlightBytes;
  }

  get inFlightCount(): number {
    return this.#inFlight.length;
  }

  sent(last: Index, bytes: number): void {
    assert(this.state === "replicate", "only a follower whose log is known is sent entries ahead");
    this.next = last + 1;
    this.#inFlight.push({ last, bytes });
    this.#inFlightBytes += bytes;
  }

  /** The follower's log agrees up to `index`. Replies may come late or twice: only a larger index says something new. */
  accepted(index: Index): boolean {
    let freed = 0;
    while (freed < this.#inFlight.length && this.#inFlight[freed]!.last <= index) {
      this.#inFlightBytes -= this.#inFlight[freed]!.bytes;
      freed++;
    }
    if (freed > 0) this.#inFlight.splice(0, freed);
    const isNew = index > this.match;
    if (isNew) {
      this.match = index;
      this.#waitedTicks = 0;
    }
    this.next = Math.max(this.next, index + 1);
    if (this.state !== "replicate") this.#become("replicate");
    return isNew;
  }

  /**
   * The follower has not the entry before `next` that was sent; `agreement` is where the logs may still agree.
   * Returns whether that was news: a late refusal of something that was settled since is ignored.
   */
  refused(index: Index, agreement: Index): boolean {
    if (index <= this.match || this.state === "snapshot") return false;
    if (this.state === "probe" && index !== this.next - 1) return false;
    this.#become("probe");
    this.next = Math.max(this.match + 1, Math.min(index, agreement + 1));
    return true;
  }

  /**
   * The follower cannot be reached now: wait for the next retry instead of reading the log for it. Where a probe
   * stands and when it is due stays as it is: reports come as often as connections fail, and must neither put the
   * retry off nor send the search back to the log's start.
   */
  becomeUnreachable(): void {
    if (this.state === "replicate") this.#become("probe");
    this.isPaused = true;
    this.isRetry = true;
  }

  /** What comes next for it was dropped from the log, which begins at `firstIndex` now. */
  becomeSnapshot(firstIndex: Index): void {
    if (this.state !== "snapshot") this.#become("snapshot");
    this.next = firstIndex;
  }

  /**
   * One tick without an answer is counted while one is awaited. A probe or an offer is repeated after `probeTicks`;
   * entries that made no way for `stuckTicks` count as lost.
   */
  tick(probeTicks: number, stuckTicks: number): void {
    const isAhead = this.state === "replicate";
    const isWaiting = isAhead ? this.#inFlight.length > 0 : this.isPaused;
    if (!isWaiting) {
      this.#waitedTicks = 0;
      return;
    }
    this.#waitedTicks++;
    if (this.#waitedTicks < (isAhead ? stuckTicks : probeTicks)) return;
    if (isAhead) this.#become("probe");
    this.#waitedTicks = 0;
    this.isPaused = false;
    this.isRetry = true;
  }

  #become(state: Progress["state"]): void {
    this.state = state;
    this.next = this.match + 1;
    this.isPaused = false;
    this.isRetry = false;
    this.#waitedTicks = 0;
    this.#inFlight.length = 0;
    this.#inFlightBytes = 0;
  }
}
