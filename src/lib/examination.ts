/** What those say who look at files without changing them: how far they are, and what they have found. */
import type { ErrorCode, KvraftError } from "./error.ts";

/** A file, or a place in one, that is not what was written. */
export interface Finding {
  readonly code: ErrorCode;
  readonly file: string;
  readonly offset?: number;
  readonly block?: number;
  /** The last one of several blocks in a row. */
  readonly lastBlock?: number;
  /** As text in quotes, or as hexadecimal digits after 0x. */
  readonly key?: string;
  readonly found: string;
  readonly wanted: string;
}

/** Bytes of files. */
export interface Progress {
  readonly done: number;
  readonly total: number;
}

/** What an error found, without what could not be done and what to do: those are said once, for all findings. */
export function problemOf(error: KvraftError): string {
  const found = /^Cannot .*?"(?: at [^:]*)?: (.*?)(?:; [^;]*)?$/s.exec(error.message)?.[1] ?? error.message;
  return /^the file is damaged \((.*)\)$/s.exec(found)?.[1] ?? found;
}
