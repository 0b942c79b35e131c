import type { Row, Tables } from "../../src/env/tables.ts";

/** A whole run at once; when it fails, nothing of it stays. */
export function buildRun(tables: Tables, path: string, rows: Iterable<Row>): void {
  const builder = tables.begin(path);
  try {
    for (const row of rows) builder.add(row);
    builder.finishNow();
  } catch (error) {
    builder.abandon();
    throw error;
  }
}
