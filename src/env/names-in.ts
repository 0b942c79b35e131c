import { readdirSync } from "node:fs";
import { KvraftError, messageOf } from "../lib/error.ts";

/** The names of files and folders in a folder; none when there is nothing at the path. Throws a KvraftError for a file. */
export function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    const code = (error as { code?: unknown } | undefined)?.code;
    if (code === "ENOENT") return [];
    throw new KvraftError("IO_ERROR", `Cannot list the folder "${path}": ${messageOf(error)}`, {
      cause: error,
    });
  }
}
