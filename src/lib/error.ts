/**
 * The closed list of what the environment can do to us. Codes are the contract, messages are for people.
 *
 * - `CONFIG`           the configuration cannot be used
 * - `USAGE`            a command line cannot be understood
 * - `CORRUPTION`       bytes on disk are not what was written
 * - `FORMAT`           a file comes from another format version
 * - `IDENTITY`         a data folder belongs to another node or cluster, or lost what it held
 * - `LOCKED`           another process holds the data folder
 * - `IO_ERROR`         the disk or the network refused an operation
 * - `NO_SPACE`         the disk is full
 * - `INVALID_ARGUMENT` a caller passed something out of range
 * - `NOT_FOUND`        something that must exist does not
 * - `EXISTS`           something that must not exist does
 * - `COMPACTED`        a state of the past was asked for that is not kept any more
 * - `CLOSED`           the object was closed before
 * - `PROTOCOL`         a peer or client sent bytes that are no frame of ours
 */
export type ErrorCode =
  | "CONFIG"
  | "USAGE"
  | "CORRUPTION"
  | "FORMAT"
  | "IDENTITY"
  | "LOCKED"
  | "IO_ERROR"
  | "NO_SPACE"
  | "INVALID_ARGUMENT"
  | "NOT_FOUND"
  | "EXISTS"
  | "COMPACTED"
  | "CLOSED"
  | "PROTOCOL";

/** A failure of the environment, as opposed to a bug (AssertionError) or an expected outcome (a value). */
export class KvraftError extends Error {
  override readonly name = "KvraftError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * What an operator can do about a node that cannot go on. Never to restore its folder: an older state of a member of a
 * living cluster has forgotten what it voted and acknowledged.
 */
export const replaceNodeAdvice =
  "replace this node: empty its data folder, start the server with --join, then run kvraft member replace";

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
