/**
 * How a request ended. The first six are the words of the original design; their numbers are on the wire.
 *
 * - `OK`
 * - `ErrNoKey`          the key does not exist: a negative answer, not a failure
 * - `ErrWrongLeader`    this node does not lead, or not yet; nothing was appended
 * - `ErrLevelDB`        the local store could not answer a read
 * - `CommitTimeout`     it was proposed, and its outcome is not known
 * - `NoKeyValue`        the request carries no key, or no value, or cannot be understood
 * - `ErrSessionEnded`   the session expired or was evicted; nothing was applied by this request
 * - `ErrOutOfOrder`     a command of the session that comes before this one is missing; nothing was applied
 * - `ErrBusy`           a queue is full; nothing was appended
 * - `ErrTooLarge`       the key or the value is over a limit; nothing was appended
 * - `ErrMembers`        the members cannot be changed like this; nothing was
 * - `ErrSnapshot`       the snapshot that was to be read is not there any more
 * - `ErrBehind`         a learner cannot become a voter yet: it has not caught up; nothing was changed
 */
export const statuses = [
  "OK",
  "ErrNoKey",
  "ErrWrongLeader",
  "ErrLevelDB",
  "CommitTimeout",
  "NoKeyValue",
  "ErrSessionEnded",
  "ErrOutOfOrder",
  "ErrBusy",
  "ErrTooLarge",
  "ErrMembers",
  "ErrSnapshot",
  "ErrBehind",
] as const;

export type Status = (typeof statuses)[number];

const numbers = new Map(statuses.map((status, number) => [status, number]));

/** The number of a status on the wire and in stored results. */
export function statusNumber(status: Status): number {
  return numbers.get(status)!;
}

export function statusOf(number: number): Status | undefined {
  return statuses[number];
}

/** Whether the same request may succeed when it is sent again: none of these has applied anything. */
export function isRetryable(status: Status): boolean {
  return (
    status === "ErrWrongLeader" ||
    status === "CommitTimeout" ||
    status === "ErrBusy" ||
    status === "ErrOutOfOrder"
  );
}
