/** The identity file: damaged, it is refused and left alone, and never read as another identity. */
import type { Prng } from "../../src/env/prng.ts";
import { type Bytes, concatBytes } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import { readU32 } from "../../src/lib/codec.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { type FolderIdentity, readIdentity, writeIdentity } from "../../src/server/identity.ts";
import { MemoryDisk } from "../leveldb/memory-disk.ts";
import { ensure, ensureEqual, type FuzzTarget, withinMemory } from "./fuzzer.ts";
import { mutate, randomOrMutated } from "./mutate.ts";
import { encoded, randomIdentity } from "./values.ts";

const folder = "data";
const path = `${folder}/identity`;

function diskWith(content: Bytes): MemoryDisk {
  const disk = new MemoryDisk();
  disk.createFolder(folder);
  disk.open(path, "create").write(0, content);
  return disk;
}

/** What is read of a file with this content; undefined when it is refused as the interface says. */
function read(content: Bytes): FolderIdentity | undefined {
  const disk = diskWith(content);
  const steps = disk.steps;
  let identity: FolderIdentity | undefined;
  try {
    withinMemory(content.length, () => {
      identity = readIdentity(disk, folder);
    });
  } catch (error) {
    if (!(error instanceof KvraftError)) throw error;
    ensure(["CORRUPTION", "FORMAT"].includes(error.code), `an identity is refused as ${error.code}`);
    ensure(error.message.includes(folder), "a refusal names the folder");
  }
  ensure(disk.steps === steps, "reading an identity changes nothing");
  return identity;
}

function written(identity: FolderIdentity): Bytes {
  const disk = new MemoryDisk();
  disk.createFolder(folder);
  writeIdentity(disk, folder, identity);
  return disk.read(path) ?? new Uint8Array(0);
}

/** A checksum that fits, so that what it covers is looked at. */
function resealed(content: Bytes): Bytes {
  if (content.length < 9) return content;
  const body = content.subarray(0, content.length - 4);
  return concatBytes([body, encoded((writer) => writer.u32(crc32(body, readU32(content, 0))))]);
}

export const identityTarget: FuzzTarget = {
  name: "identity",
  run(prng: Prng, note) {
    const identity = randomIdentity(prng);
    const whole = written(identity);
    ensureEqual(read(whole), identity, "an identity is read as it was written");
    const damaged = randomOrMutated(prng, () => whole);
    note(damaged);
    const found = read(damaged);
    if (found !== undefined) ensureEqual(found, identity, "a damaged identity is never another one");
    const forged = resealed(mutate(prng, whole));
    note(forged);
    const other = read(forged);
    if (other !== undefined && !JSON.stringify(other).includes("\ufffd"))
      ensureEqual(read(written(other)), other, "what is read as an identity can be written and read");
  },
};
