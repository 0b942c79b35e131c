/** What disks, file systems and people do to files. */
import type { Prng } from "../../src/env/prng.ts";
import { type Bytes, copyBytes } from "../../src/lib/bytes.ts";
import { mutate, overwrite, randomBytes, randomNumber } from "./mutate.ts";
import { encoded } from "./values.ts";

/** Files by path, each with its content. */
export type Files = ReadonlyMap<string, Bytes>;

const sectorBytes = 512;
export type Damage =
  | "flip"
  | "cut"
  | "extend"
  | "zero a range"
  | "misdirect a write"
  | "swap sectors"
  | "overwrite a number"
  | "edit"
  | "swap two files"
  | "duplicate a file"
  | "overwrite a file by another"
  | "remove a file";

const kinds: readonly Damage[] = [
  "flip",
  "flip",
  "cut",
  "extend",
  "zero a range",
  "misdirect a write",
  "swap sectors",
  "overwrite a number",
  "edit",
  "swap two files",
  "duplicate a file",
  "overwrite a file by another",
  "remove a file",
];

/** The files after one or two misfortunes, with what happened for people. `rename` names the copy of a file. */
export function damage(
  prng: Prng,
  files: Files,
  rename: (path: string) => string,
): { files: Map<string, Bytes>; story: string } {
  const damaged = new Map(files);
  const story: string[] = [];
  for (let count = prng.chance(1, 4) ? 2 : 1; count > 0; count--) {
    if (damaged.size === 0) break;
    const kind = prng.pick(kinds);
    const path = prng.pick([...damaged.keys()]);
    const other = prng.pick([...damaged.keys()]);
    damageOne(prng, damaged, kind, path, other, rename);
    story.push(`${kind}: ${path}${kind.includes("file") ? `, ${other}` : ""}`);
  }
  return { files: damaged, story: story.join("; ") };
}

function damageOne(
  prng: Prng,
  files: Map<string, Bytes>,
  kind: Damage,
  path: string,
  other: string,
  rename: (path: string) => string,
): void {
  const bytes = files.get(path)!;
  switch (kind) {
    case "swap two files":
      files.set(path, files.get(other)!);
      files.set(other, bytes);
      return;
    case "overwrite a file by another":
      files.set(path, files.get(other)!);
      return;
    case "duplicate a file":
      files.set(rename(path), bytes);
      return;
    case "remove a file":
      files.delete(path);
      return;
    default:
      files.set(path, damagedBytes(prng, kind, bytes));
  }
}

function damagedBytes(prng: Prng, kind: Damage, bytes: Bytes): Bytes {
  const at = prng.int(0, bytes.length);
  const length = Math.min(bytes.length - at, prng.pick([1, 4, 64, sectorBytes, 4096]));
  switch (kind) {
    case "flip": {
      const flipped = copyBytes(bytes);
      if (at < bytes.length) flipped[at]! ^= 1 << prng.int(0, 7);
      return flipped;
    }
    case "cut":
      return bytes.subarray(0, at);
    case "extend":
      return Buffer.concat([bytes, prng.chance(1, 2) ? new Uint8Array(600) : randomBytes(prng, 600)]);
    case "zero a range":
      return overwrite(bytes, at, new Uint8Array(length));
    case "misdirect a write":
      return overwrite(bytes, prng.int(0, bytes.length), bytes.subarray(at, at + length));
    case "swap sectors":
      return swapSectors(prng, bytes);
    case "overwrite a number":
      return overwrite(
        bytes,
        at,
        encoded((writer) => writer.u53(randomNumber(prng))),
      );
    default:
      return mutate(prng, bytes);
  }
}

function swapSectors(prng: Prng, bytes: Bytes): Bytes {
  const count = Math.floor(bytes.length / sectorBytes);
  if (count < 2) return bytes;
  const [first, second] = [prng.int(0, count - 1), prng.int(0, count - 1)];
  const sector = (place: number): Bytes => bytes.subarray(place * sectorBytes, (place + 1) * sectorBytes);
  return overwrite(
    overwrite(bytes, first * sectorBytes, sector(second)),
    second * sectorBytes,
    sector(first),
  );
}
