import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** In memory where there is such a folder: what is tested here is what is read, not what a sync costs. */
const memoryFolder = "/dev/shm";
let made: string | undefined;

/** The folder of this process for real files, made when it is first asked for; `removeScratch` ends it. */
export function scratchFolder(): string {
  made ??= mkdtempSync(join(existsSync(memoryFolder) ? memoryFolder : tmpdir(), "kvraft-fuzz-"));
  return made;
}

/** Removes the folder with all that is in it. */
export function removeScratch(): void {
  if (made !== undefined) rmSync(made, { recursive: true, force: true });
  made = undefined;
}
