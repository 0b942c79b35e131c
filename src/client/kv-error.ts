/**
 * What became of a request that was not answered.
 *
 * - `not-done`: no node took it; certainly nothing has happened
 * - `refused`:  a server said no, and would again; nothing has happened
 * - `unknown`:  it was proposed or may have been, and was not resolved in time: it may have happened, or still happen
 */
export type Outcome = "not-done" | "refused" | "unknown";

/** A request failed. `code` is a status of the servers (kv/status.ts), or `Unreachable`, `Closed`, `Deadline`. */
export class KVError extends Error {
  override readonly name = "KVError";
  readonly outcome: Outcome;
  readonly code: string;

  constructor(outcome: Outcome, code: string, message: string) {
    super(message);
    this.outcome = outcome;
    this.code = code;
  }
}
