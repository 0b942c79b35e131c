import { KvraftError } from "../lib/error.ts";

/**
 * The refusal to go on with a log that is not what was written. Acknowledged entries may be in what cannot be read,
 * so nothing is cut and nothing is repaired: that is for a person to decide.
 */
export function damaged(path: string, offset: number, expected: string, found: string): KvraftError {
  return new KvraftError(
    "CORRUPTION",
    `Cannot read the Raft log: "${path}" is damaged at byte ${offset}: expected ${expected}, found ${found}; ` +
      `nothing was changed; restore this node's data folder from a backup, or start it with an empty folder as a new member`,
  );
}
