import { readdirSync } from "node:fs";
import { KvraftError, messageOf } from "../lib/error.ts";

/** Whether there is nothing at a path, or an empty folder. Throws a KvraftError for what is no folder. */
export function isEmptyFolder(path: string): boolean {
  try {
    return readdirSync(path).length === 0;
  } catch (error) {
    const code = (error as { code?: unknown } | undefined)?.code;
    if (code === "ENOENT") return true;
    throw new KvraftError("IO_ERROR", `Cannot list the folder "${path}": ${messageOf(error)}`, {
      cause: error,
    });
  }
}
