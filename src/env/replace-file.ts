import type { Bytes } from "../lib/bytes.ts";
import type { Disk } from "./disk.ts";

/**
 * Replaces a small file as a whole: after a crash at any point it has its old content or the new one, and once this
 * returns the new one is durable. Leaves `<name>.new` behind when it is interrupted, which the next call replaces.
 */
export function replaceFile(disk: Disk, folder: string, name: string, content: Bytes): void {
  const path = `${folder}/${name}`;
  const temporary = `${path}.new`;
  disk.remove(temporary);
  const file = disk.open(temporary, "create");
  try {
    file.write(0, content);
    file.sync();
  } finally {
    file.close();
  }
  disk.rename(temporary, path);
  disk.syncFolder(folder);
}
