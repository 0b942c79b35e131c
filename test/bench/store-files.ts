import { readdirSync, statSync } from "node:fs";

/** Bytes of the files in a folder. One that goes meanwhile does not count. */
export function folderBytes(folder: string): number {
  let bytes = 0;
  for (const name of readdirSync(folder))
    bytes += statSync(`${folder}/${name}`, { throwIfNoEntry: false })?.size ?? 0;
  return bytes;
}
