import type { Disk } from "../env/disk.ts";
import type { LogOwner } from "./options.ts";
import { chainOf, readSegments } from "./recovery.ts";
import { isUnfinishedName } from "./segment.ts";

/**
 * Removes the files of a log that no reader needs, without reading the log: segments that were never finished, and those
 * whose groups were all replaced. For a full disk: it takes no space. Throws CORRUPTION, FORMAT or IDENTITY for headers
 * that a start would refuse, with nothing changed.
 */
export function removeLogLeftovers(
  disk: Disk,
  folder: string,
  owner: LogOwner,
  report: (line: string) => void,
): void {
  const obsoletePaths: string[] = [];
  chainOf(readSegments(disk, folder, owner), obsoletePaths);
  removeFiles(disk, folder, obsoletePaths, report);
}

/** The same, when it is known which segments were replaced. */
export function removeFiles(
  disk: Disk,
  folder: string,
  obsoletePaths: readonly string[],
  report: (line: string) => void,
): void {
  for (const name of disk.list(folder)) {
    if (!isUnfinishedName(name)) continue;
    disk.remove(`${folder}/${name}`);
    report(
      `Removed "${folder}/${name}": a segment that was never finished, so nothing in it was acknowledged`,
    );
  }
  if (obsoletePaths.length === 0) return;
  // The name of the segment that replaces them may not be durable yet: a power cut must not take both.
  disk.syncFolder(folder);
  // What a power cut brings back counts no more than before, and the next start removes it again.
  for (const path of obsoletePaths) disk.remove(path);
}
