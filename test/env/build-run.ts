import type { Tables } from "../../src/env/tables.ts";
import type { Bytes } from "../../src/lib/bytes.ts";

/** A whole file of blocks at once; when it fails, nothing of it stays. */
export function buildRun(tables: Tables, path: string, blocks: Iterable<Bytes>): void {
  const builder = tables.begin(path);
  try {
    for (const block of blocks) builder.add(block);
    builder.finish();
  } catch (error) {
    builder.abandon();
    throw error;
  }
}
