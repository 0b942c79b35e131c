/**
 * The files of a Raft log, damaged. Opening them is refused with nothing changed on the disk; or it shows a state that
 * the log once had, and what is missing of the last one is what the damage has touched: a group that stands whole
 * where it was written is shown or the log is refused, never passed over.
 */
import type { Prng } from "../../src/env/prng.ts";
import { type Bytes, copyBytes } from "../../src/lib/bytes.ts";
import { crc32 } from "../../src/lib/checksum.ts";
import { readU32 } from "../../src/lib/codec.ts";
import { KvraftError } from "../../src/lib/error.ts";
import type { HardState, Index } from "../../src/raft/types.ts";
import { groupHeaderBytes, groupSeed } from "../../src/raftlog/group.ts";
import { GroupReader } from "../../src/raftlog/group-reader.ts";
import type { Persister } from "../../src/raftlog/persister.ts";
import { segmentHeaderBytes } from "../../src/raftlog/segment.ts";
import { CrashDisk } from "../raftlog/crash-disk.ts";
import {
  contentOf,
  entries,
  folder,
  openLog,
  owner,
  peer,
  randomEntry,
  save,
  smallOptions,
  state,
} from "../raftlog/log-fixture.ts";
import { damage, type Files } from "./file-damage.ts";
import { ensure, ensureEqual, type FuzzTarget, withinMemory } from "./fuzzer.ts";
import { mutate, overwrite, splice } from "./mutate.ts";
import { encoded } from "./values.ts";

/** One group a save, several segments of a few groups. */
const options = {
  ...smallOptions,
  groupBytesMax: 1 << 20,
  segmentBytesMax: 5500,
  aheadBytes: 512,
  fillBytes: 256,
};
const seedOfGroups = groupSeed(owner);

interface Content {
  readonly hardState: HardState;
  readonly firstIndex: Index;
  readonly entries: readonly string[];
}

/** A group where it stands, and what the log held once it was there. */
interface Place {
  readonly path: string;
  readonly offset: number;
  readonly bytes: Bytes;
  readonly content: Content;
}

interface Written {
  readonly disk: CrashDisk;
  /** By number, in order. */
  readonly groups: ReadonlyMap<number, Place>;
  readonly firstIndex: Index;
}

function contentNow(log: Persister): Content {
  const { firstIndex, entries } = contentOf(log);
  return { hardState: log.readRaftState().hardState, firstIndex, entries };
}

/** A log with a random history of saves, replaced suffixes, dropped fronts, starts anew and restarts, closed. */
function writeLog(prng: Prng): Written {
  const disk = new CrashDisk();
  const contents = new Map<number, Content>();
  let { log } = openLog(disk, options);
  let term = 1;
  const remember = (): void => {
    const numbers = [...groupsOf(filesOf(disk)).keys()];
    for (const number of numbers) if (!contents.has(number)) contents.set(number, contentNow(log));
  };
  remember();
  for (let saves = prng.int(1, 12); saves > 0; saves--) {
    if (prng.chance(1, 6)) {
      log.close();
      log = openLog(disk, options).log;
      remember();
    }
    if (prng.chance(1, 5)) log.compact({ upTo: log.lastIndex, tailEntries: prng.int(0, 5), tailBytes: 1e9 });
    const { firstIndex, lastIndex } = log;
    const isAnew = prng.chance(1, 20);
    const isReplaced = !isAnew && lastIndex > firstIndex && prng.chance(1, 6);
    if (isReplaced || isAnew) term++;
    const decided = Math.max(lastIndex, log.readRaftState().hardState.commit);
    const start = isAnew ? { term, index: decided + prng.int(0, 5) } : undefined;
    const from = isReplaced
      ? prng.int(Math.max(firstIndex, lastIndex - 3), lastIndex)
      : (start?.index ?? lastIndex) + 1;
    const list = Array.from({ length: prng.int(isReplaced ? 1 : 0, 4) }, (_, at) =>
      randomEntry(prng, from + at, term),
    );
    const hardState = prng.chance(1, 2)
      ? state(term, prng.int(0, 3), prng.pick([peer, undefined]))
      : undefined;
    save(disk, log, { hardState, entries: list, start });
    remember();
  }
  const { firstIndex } = log;
  log.close();
  const groups = new Map<number, Place>();
  for (const [number, place] of groupsOf(filesOf(disk)))
    groups.set(number, { ...place, content: contents.get(number)! });
  return { disk, groups, firstIndex };
}

function filesOf(disk: CrashDisk): Map<string, Bytes> {
  return new Map(
    disk.list(folder).map((name) => [`${folder}/${name}`, copyBytes(disk.raw(`${folder}/${name}`))]),
  );
}

/** The groups that stand in these files, by number. Those of a later segment stand for what they repeat. */
function groupsOf(files: Files): Map<number, Omit<Place, "content">> {
  const found = new Map<number, Omit<Place, "content">>();
  const disk = diskWith(files);
  for (const [path, bytes] of files) {
    const file = disk.open(path, "read");
    const reader = new GroupReader(file, path, segmentHeaderBytes, bytes.length, seedOfGroups, bytes.length);
    while (reader.next() && reader.header !== undefined) {
      const end = reader.offset + groupHeaderBytes + reader.header.payloadBytes;
      found.set(reader.header.number, {
        path,
        offset: reader.offset,
        bytes: copyBytes(bytes.subarray(reader.offset, end)),
      });
    }
    file.close();
  }
  return new Map([...found].sort(([a], [b]) => a - b));
}

function diskWith(files: Files): CrashDisk {
  const disk = new CrashDisk();
  for (const [path, bytes] of files) disk.replace(path, bytes);
  return disk;
}

/** Opens these files. Undefined when that is refused, with nothing changed; else the log, for more to be written. */
function open(files: Files, story: string): { disk: CrashDisk; log: Persister } | undefined {
  const disk = diskWith(files);
  const before = disk.snapshot();
  const bytes = [...files.values()].reduce((sum, content) => sum + content.length, 0);
  let log: Persister | undefined;
  try {
    withinMemory(bytes + 4096, () => {
      log = openLog(disk, options).log;
    });
  } catch (error) {
    if (!(error instanceof KvraftError)) throw error;
    ensure(["CORRUPTION", "FORMAT", "IDENTITY"].includes(error.code), `a log is refused as ${error.code}`);
    ensureEqual(disk.snapshot(), before, `a refused log is left as it is (${story})`);
    return undefined;
  }
  ensure(disk.largestRead <= bytes, "no read is longer than the files");
  return log === undefined ? undefined : { disk, log };
}

/** What was opened is a state that the log had, and lacks only what the damage has touched. */
function judge(log: Persister, written: Written, files: Files, story: string): void {
  const found = contentNow(log);
  const numbers = [...written.groups.keys()].toReversed();
  const isShown = ({ content }: Place): boolean => {
    const skipped = found.firstIndex - content.firstIndex;
    const { hardState } = content;
    const entries = content.entries.slice(Math.max(0, skipped));
    return skipped >= 0 && Bun.deepEquals({ hardState, firstIndex: found.firstIndex, entries }, found);
  };
  for (const number of numbers) {
    const group = written.groups.get(number)!;
    if (isShown(group)) break;
    const there = files.get(group.path)?.subarray(group.offset, group.offset + group.bytes.length);
    const isWhole = there !== undefined && Buffer.compare(there, group.bytes) === 0;
    ensure(!isWhole, `group ${number} stands whole in "${group.path}" and is not shown (${story})`);
  }
  const isKnown = numbers.some((number) => isShown(written.groups.get(number)!));
  ensure(isKnown || isEmptyLog(found, log), `a log shows only what was once its content (${story})`);
  const isFrontGone = [...written.groups.values()].some(({ path }) => !files.has(path));
  ensure(
    found.firstIndex === written.firstIndex || isFrontGone,
    `a log begins late only when a file is gone (${story})`,
  );
}

/** All files are gone: nothing is left that could tell. The node's identity says that there was a log. */
function isEmptyLog({ entries, hardState }: Content, log: Persister): boolean {
  return entries.length === 0 && hardState.term === 0 && log.lastIndex === 0;
}

/** A log that was opened goes on: what is saved now is there after a restart, and nothing that was put aside. */
function goOn(disk: CrashDisk, log: Persister, story: string): void {
  save(disk, log, { entries: entries(log.lastIndex + 1, log.lastIndex + 3, 1000) });
  const wanted = contentNow(log);
  log.close();
  const again = openLog(disk, options).log;
  ensureEqual(contentNow(again), wanted, `a log that was opened and written is opened as it was (${story})`);
  again.close();
}

/** A write that went to the place of another group, whole. */
function misplace(prng: Prng, written: Written): { files: Map<string, Bytes>; story: string } {
  const files = filesOf(written.disk);
  const groups = [...written.groups.values()];
  const [from, to] = [prng.pick(groups), prng.pick(groups)];
  const content = files.get(to.path)!;
  files.set(to.path, overwrite(content, to.offset, from.bytes));
  return {
    files,
    story: `the group at byte ${from.offset} of "${from.path}" over that at ${to.offset} of "${to.path}"`,
  };
}

/** One group with other records, or other numbers in its header, under checksums that fit. */
function forge(prng: Prng, written: Written): Map<string, Bytes> {
  const files = filesOf(written.disk);
  const group = prng.pick([...written.groups.values()]);
  const payload = mutate(prng, group.bytes.subarray(groupHeaderBytes));
  let header = group.bytes.subarray(0, groupHeaderBytes);
  if (prng.chance(1, 2)) header = overwrite(header, prng.int(4, 20), mutate(prng, header.subarray(4, 12)));
  const isHonest = prng.chance(2, 3);
  const length = encoded((writer) => writer.u32(isHonest ? payload.length : readU32(header, 16)));
  header = overwrite(overwrite(header, 16, length), 24, sealOf(payload));
  header = overwrite(header, 28, sealOf(header.subarray(0, 28)));
  const end = group.offset + group.bytes.length;
  const bytes = splice(files.get(group.path)!, group.offset, end, Buffer.concat([header, payload]));
  return files.set(group.path, bytes);
}

function sealOf(bytes: Bytes): Bytes {
  return encoded((writer) => writer.u32(crc32(bytes, seedOfGroups)));
}

export const raftLogTarget: FuzzTarget = {
  name: "raft-log",
  run(prng) {
    const written = writeLog(prng);
    const pristine = filesOf(written.disk);
    for (let rounds = 0; rounds < 8; rounds++) {
      const { files, story } = prng.chance(1, 8)
        ? misplace(prng, written)
        : damage(prng, pristine, (path) => copyName(prng, path));
      const opened = open(files, story);
      if (opened === undefined) continue;
      judge(opened.log, written, files, story);
      goOn(opened.disk, opened.log, story);
    }
    // Nobody but a bug writes these; still they are read or refused.
    const opened = open(forge(prng, written), "forged");
    opened?.log.close();
  },
};

/** A copy made by hand, or under the name of another segment. */
function copyName(prng: Prng, path: string): string {
  const digits = (): string => String(prng.int(0, 20)).padStart(20, "0");
  return prng.chance(1, 2) ? `${path}.bak` : `${folder}/${digits()}-${digits()}.log`;
}
