import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "./script.ts";

/** `UPDATE=1 bun test test/raft/scripts.test.ts` writes what the core does now; the diff is to be read and believed. */
const { UPDATE } = process.env;
const folder = join(import.meta.dir, "scripts");

for (const name of readdirSync(folder).sort()) {
  test(`script ${name}`, () => {
    const path = join(folder, name);
    const written = readFileSync(path, "utf8");
    const now = runScript(written);
    if (UPDATE !== undefined) writeFileSync(path, now);
    else expect(now).toBe(written);
  });
}
