import { readdirSync, statSync } from "node:fs";

/** Bytes of the files in a folder. One that goes meanwhile does not count. */
export function folderBytes(folder: string): number {
  let bytes = 0;
  for (const name of readdirSync(folder))
    bytes += statSync(`${folder}/${name}`, { throwIfNoEntry: false })?.size ?? 0;
  return bytes;
}

/**
 * What changes in a folder of numbered files while somebody writes there: how many there are, and the size of the
 * newest. In two calls, where every file's size would stop a loop that is being measured.
 */
export function folderMark(folder: string): string {
  const names = readdirSync(folder);
  const newest = names.reduce((last, name) => (/^\d/.test(name) && name > last ? name : last), "");
  const bytes = statSync(`${folder}/${newest}`, { throwIfNoEntry: false })?.size ?? 0;
  return `${names.length} files, ${newest} of ${bytes} bytes`;
}
