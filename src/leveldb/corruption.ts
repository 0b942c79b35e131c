import { KvraftError, replaceNodeAdvice } from "../lib/error.ts";

/** The error for files that are not what was written: what could not be done (with the path), and what was found. */
export function corruption(action: string, found: string, cause?: unknown): KvraftError {
  return new KvraftError("CORRUPTION", `Cannot ${action}: ${found}; ${replaceNodeAdvice}`, { cause });
}
