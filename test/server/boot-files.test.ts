import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BunDisk } from "../../src/env/bun-disk.ts";
import type { Disk } from "../../src/env/disk.ts";
import type { NodeId } from "../../src/raft/types.ts";
import { BootList } from "../../src/server/boot-list.ts";
import { BootMemory } from "../../src/server/boot-memory.ts";

const disk = new BunDisk();
const root = mkdtempSync(join(tmpdir(), "kvraft-boots-"));
afterAll(() => rmSync(root, { recursive: true }));

const idOf = (number: number) => number.toString(16).padStart(16, "0");

function newFolder(): string {
  return mkdtempSync(join(root, "folder-"));
}

function start(folder: string, number: number): BootList {
  const list = BootList.begin(disk, folder, idOf(number));
  list.close();
  return list;
}

test("a list holds each start in its place, and no other one", () => {
  const folder = newFolder();
  expect(() => BootList.begin(disk, folder, idOf(1))).toThrow("is missing");
  BootList.create(disk, folder);
  for (const number of [1, 2, 3]) expect(start(folder, number).boot).toEqual({ number, id: idOf(number) });
  BootList.create(disk, folder);
  const list = BootList.begin(disk, folder, idOf(4));
  for (const number of [1, 2, 3, 4]) expect(list.holds({ number, id: idOf(number) })).toBe(true);
  expect(list.holds({ number: 2, id: idOf(3) })).toBe(false);
  for (const number of [0, 5, 2 ** 50]) expect(list.holds({ number, id: idOf(number) })).toBe(false);
  list.close();
});

test("a start of which a crash left half is written over, and damage before it is told", () => {
  const folder = newFolder();
  BootList.create(disk, folder);
  for (const number of [1, 2]) start(folder, number);
  const path = join(folder, "boots");
  const whole = readFileSync(path);
  writeFileSync(path, whole.subarray(0, whole.length - 5));
  expect(start(folder, 7).boot).toEqual({ number: 2, id: idOf(7) });
  const wrong = Buffer.from(whole);
  for (const at of [20, 30]) wrong[at]! ^= 1;
  writeFileSync(path, wrong);
  expect(() => BootList.begin(disk, folder, idOf(8))).toThrow("start 1 is damaged");
});

const nodeId = "00000000000000aa" as NodeId;
const boot = { number: 3, id: idOf(3) };

async function remember(folder: string, term: number): Promise<void> {
  const memory = BootMemory.open(disk, folder, (error) => {
    throw error;
  });
  await new Promise<void>((resolve) => memory.admit(nodeId, boot, () => true, resolve));
  expect(memory.noteTerm(nodeId, term)).toBe(false);
  await new Promise<void>((resolve) => memory.whenDurable(resolve));
  expect(memory.noteTerm(nodeId, term)).toBe(true);
  memory.close();
}

test("what is remembered survives a torn write of either slot", async () => {
  const folder = newFolder();
  expect(() => BootMemory.check(disk, folder)).toThrow("is missing");
  BootMemory.create(disk, folder);
  for (const term of [5, 6]) await remember(folder, term);
  const path = join(folder, "admitted");
  const bytes = readFileSync(path);
  const terms: (number | undefined)[] = [];
  for (const slot of [0, 1]) {
    const torn = Buffer.from(bytes);
    torn[slot * 8192 + 30]! ^= 1;
    writeFileSync(path, torn);
    const known = BootMemory.check(disk, folder).nodes.get(nodeId);
    expect(known?.boot).toEqual(boot);
    terms.push(known?.term);
  }
  // The one that is left is the last write, or the one before it.
  expect(terms.toSorted()).toEqual([5, 6]);
  writeFileSync(path, Buffer.alloc(2 * 8192));
  expect(() => BootMemory.check(disk, folder)).toThrow("both of its slots are damaged");
});

/** A disk on which durable writes end when the test says so. */
function heldDisk(): { readonly held: Disk; readonly writes: (() => void)[] } {
  const writes: (() => void)[] = [];
  const held = {
    read: (path: string) => disk.read(path),
    open(path: string) {
      const file = disk.open(path, "write");
      return {
        writeDurably(offset: number, bytes: Uint8Array<ArrayBuffer>, done: (error?: Error) => void) {
          writes.push(() => {
            file.write(offset, bytes);
            done();
          });
        },
        close: () => file.close(),
      };
    },
  };
  return { held: held as unknown as Disk, writes };
}

test("an admission and a term count only when they are durable, also one that is noted while a write is under way", () => {
  const folder = newFolder();
  BootMemory.create(disk, folder);
  const { held, writes } = heldDisk();
  const memory = BootMemory.open(held, folder, (error) => {
    throw error;
  });
  const ran: string[] = [];
  const onDisk = () => BootMemory.check(disk, folder).nodes.get(nodeId);
  memory.admit(
    nodeId,
    boot,
    () => true,
    () => ran.push(`admitted ${onDisk()?.boot?.number}`),
  );
  expect(memory.noteTerm(nodeId, 7)).toBe(false);
  memory.whenDurable(() => ran.push(`term ${onDisk()?.term}`));
  expect([ran, writes.length]).toEqual([[], 1]);
  writes[0]!();
  // The term was noted after the first write had begun: it is not in that one.
  expect(ran).toEqual(["admitted 3"]);
  expect(memory.noteTerm(nodeId, 7)).toBe(false);
  expect(writes.length).toBe(2);
  writes[1]!();
  expect(ran).toEqual(["admitted 3", "term 7"]);
  expect(memory.noteTerm(nodeId, 7)).toBe(true);
  memory.noteIndex(nodeId, 40);
  memory.whenDurable(() => ran.push("nothing waits for an index"));
  expect(ran.at(-1)).toBe("nothing waits for an index");
  memory.close();
});
