import { type ErrorCode, KvraftError, replaceNodeAdvice } from "../lib/error.ts";

/** Where a log is not what was wanted, for those who list more than one such place. */
interface LogPlace {
  readonly path: string;
  readonly offset: number;
  readonly wanted: string;
  readonly found: string;
}

/** The refusal to go on with a log. */
export class LogError extends KvraftError {
  readonly place: LogPlace;

  constructor(code: ErrorCode, message: string, place: LogPlace) {
    super(code, message);
    this.place = place;
  }
}

/**
 * The refusal to go on with a log that is not what was written. Acknowledged entries may be in what cannot be read,
 * so nothing is cut and nothing is repaired: that is for a person to decide.
 */
export function damaged(path: string, offset: number, expected: string, found: string): LogError {
  return new LogError(
    "CORRUPTION",
    `Cannot read the Raft log: "${path}" is damaged at byte ${offset}: expected ${expected}, found ${found}; ` +
      `nothing was changed; ${replaceNodeAdvice}`,
    { path, offset, wanted: expected, found },
  );
}
