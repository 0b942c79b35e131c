import { expect, test } from "bun:test";
import { toHex } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import type { NodeId } from "../../src/raft/types.ts";
import {
  aloneIdentity,
  type FolderIdentity,
  type Identity,
  isStarted,
  readIdentity,
  unstartedIdentity,
  writeIdentity,
} from "../../src/server/identity.ts";
import { membersOf } from "../../src/server/members.ts";
import { MemoryDisk, PowerCut } from "../leveldb/memory-disk.ts";

const nodeId = "1122334455667788" as NodeId;
const formed: Identity = {
  state: "formed",
  place: 1,
  nodeId,
  clusterId: "00000000000000c1",
  members: membersOf(
    [
      { nodeId: "0000000000000001" as NodeId, address: "a:1", role: "voter" },
      { nodeId, address: "b:2", role: "voter" },
    ],
    [],
  ),
  origin: undefined,
};

function diskWith(identity: FolderIdentity): MemoryDisk {
  const disk = new MemoryDisk();
  disk.createFolder("data");
  disk.syncFolder(".");
  writeIdentity(disk, "data", identity);
  return disk;
}

function failure(disk: MemoryDisk): KvraftError {
  try {
    readIdentity(disk, "data");
  } catch (error) {
    if (error instanceof KvraftError) return error;
    throw error;
  }
  throw new Error("it was read");
}

test("an identity looks as its grammar says, and is read back", () => {
  const disk = diskWith(aloneIdentity(2, nodeId));
  const bytes = disk.read("data/identity")!;
  expect(toHex(bytes.subarray(0, -4))).toBe(
    `4b564944${"03"}${"01"}${"02"}1122334455667788${"00".repeat(8)}03000000`,
  );
  expect(readIdentity(disk, "data")).toEqual(aloneIdentity(2, nodeId));
  for (const state of ["alone", "forming", "formed", "joined"] as const)
    expect(readIdentity(diskWith({ ...formed, state }), "data")).toEqual({ ...formed, state });
  expect(readIdentity(new MemoryDisk(), "data")).toBeUndefined();
});

test("a folder that was prepared from a backup has its origin and no id, as the grammar's example says", () => {
  const origin = { checksum: "a1b2", servers: "a:1 b:1" };
  const prepared = unstartedIdentity("prepared", 1, origin);
  const disk = diskWith(prepared);
  expect(toHex(disk.read("data/identity")!.subarray(0, -4))).toBe(
    `4b564944${"03"}${"06"}${"01"}${"00".repeat(16)}030000${"01"}0461316232${"07"}613a3120623a31`,
  );
  expect(readIdentity(disk, "data")).toEqual(prepared);
  for (const state of ["alone", "forming", "formed"] as const)
    expect(readIdentity(diskWith({ ...formed, state, origin }), "data")).toEqual({
      ...formed,
      state,
      origin,
    });
  expect(isStarted(prepared)).toBe(false);
});

test("an identity with any bit flipped, or any part missing, is refused by name and never believed", () => {
  const disk = diskWith(formed);
  const bytes = disk.read("data/identity")!;
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    disk.damage("data/identity", flipped);
    const error = failure(disk);
    expect(error.code).toBe(bit >> 3 === 4 ? "FORMAT" : "CORRUPTION");
    expect(error.message).toContain('"data');
  }
  for (let length = 0; length < bytes.length; length++) {
    disk.damage("data/identity", bytes.subarray(0, length));
    expect(failure(disk).code).toBe("CORRUPTION");
  }
});

test("an identity of a newer format is refused as such", () => {
  const disk = diskWith(formed);
  const bytes = disk.read("data/identity")!;
  bytes[4] = 9;
  disk.damage("data/identity", bytes);
  expect(failure(disk)).toMatchObject({
    code: "FORMAT",
    message: 'Cannot use "data": its identity has format 9, this build knows 3; use a newer build',
  });
});

test("an identity that is replaced is after a crash at any step the old one or the new one", () => {
  const seen = new Set<string>();
  for (let cutAt = 1; ; cutAt++) {
    const disk = diskWith(aloneIdentity(1, nodeId));
    disk.cutAt = disk.steps + cutAt;
    let isDone = true;
    try {
      writeIdentity(disk, "data", formed);
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
      isDone = false;
    }
    for (const image of disk.images()) {
      const found = readIdentity(image, "data")!;
      if (isDone) expect(found).toEqual(formed);
      else expect<FolderIdentity[]>([aloneIdentity(1, nodeId), formed]).toContainEqual(found);
      seen.add(found.state);
    }
    if (isDone) break;
  }
  expect([...seen].sort()).toEqual(["alone", "formed"]);
});
