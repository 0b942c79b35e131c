/** Goal: writes seem to have happened, and nothing has. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BunDisk } from "../../src/env/bun-disk.ts";
import { OverlayDisk } from "../../src/env/overlay-disk.ts";
import { fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";

const folder = mkdtempSync(join(tmpdir(), "kvraft-overlay-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("files are written, renamed and removed in memory only", async () => {
  writeFileSync(join(folder, "a"), "aaa");
  writeFileSync(join(folder, "b"), "bbb");
  const disk = new OverlayDisk(new BunDisk());
  const textOf = (name: string) => {
    const bytes = disk.read(`${folder}/${name}`);
    return bytes === undefined ? undefined : fromUtf8(bytes);
  };
  const a = disk.open(`${folder}/a`, "write");
  a.write(1, toUtf8("XYZ"));
  await new Promise<void>((resolve) => a.writeDurably(6, toUtf8("!"), () => resolve()));
  expect(textOf("a")).toBe("aXYZ\0\0!");
  expect([a.size(), fromUtf8(a.read(2, 100)), a.read(50, 1).length]).toEqual([7, "YZ\0\0!", 0]);
  const c = disk.open(`${folder}/c`, "create");
  c.write(0, toUtf8("c"));
  expect(() => disk.open(`${folder}/c`, "create")).toThrow("exists already");
  expect(disk.list(folder)).toEqual(["a", "b", "c"]);
  disk.rename(`${folder}/c`, `${folder}/b`);
  disk.remove(`${folder}/a`);
  expect(disk.list(folder)).toEqual(["b"]);
  expect([textOf("a"), textOf("b"), disk.exists(`${folder}/a`), disk.exists(`${folder}/b`)]).toEqual([
    undefined,
    "c",
    false,
    true,
  ]);
  expect(() => disk.open(`${folder}/a`, "read")).toThrow("there is no such file");
  // What is read was written here, or stands on the disk.
  expect(fromUtf8(disk.open(`${folder}/b`, "read").read(0, 9))).toBe("c");
  expect(readdirSync(folder).sort()).toEqual(["a", "b"]);
  expect([readFileSync(join(folder, "a"), "utf8"), readFileSync(join(folder, "b"), "utf8")]).toEqual([
    "aaa",
    "bbb",
  ]);
});
