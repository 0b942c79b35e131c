/**
 * A segment is a file of the log: a header, groups one after the other, and zeros that were written ahead.
 *
 *     segment      = header group+ 00*
 *     header       = magic format raftGroup clusterId nodeId firstGroup afterGroup link
 *                    firstIndex previousTerm term hasVote vote commit 00* crc             4096 bytes
 *     magic        = 4 bytes D7 6B 67 73
 *     format       = u16, 2; 1 in segments of versions that never dropped a log's front, otherwise the same
 *     raftGroup    = u16, 0
 *     clusterId, nodeId = id
 *     firstGroup   = u53, the number of the segment's first group
 *     afterGroup   = u53, the number of the group that it follows; 0 where the log starts: no older segment counts
 *     link         = u32, the headerCrc of that group, 0 when there is none
 *     firstIndex   = u53, the index of the first entry that is or will be here
 *     previousTerm = u53, the term of the entry before that
 *     term, hasVote:u8, vote:id, commit = the hard state (u53) after group `afterGroup`
 *     crc          = u32, CRC-32 of the 4092 bytes before it
 *
 * The name is `<firstIndex>-<firstGroup>.log`, 20 digits each. The order of segments is that of their groups. Entries
 * ascend within a segment: a group that replaces a suffix of the log starts a new one. The header has a page of its
 * own, so that no later write of a group touches the page it is in.
 *
 * A log starts with group 1 and entry 1. It starts anew, behind a snapshot, with a segment that follows group 0 as well:
 * then firstGroup goes on from the groups before, and firstIndex and previousTerm tell where the snapshot ends.
 *
 * Example: 00000000000000000001-00000000000000000001.log of cluster 00000000000000c1 and node 00000000000000a1 begins
 *
 *     D7 6B 67 73   02 00   00 00   00 00 00 00 00 00 00 C1   00 00 00 00 00 00 00 A1   magic ... nodeId
 *     01 00 00 00 00 00 00 00   00 00 00 00 00 00 00 00   00 00 00 00                   groups 1 after 0, link 0
 *     01 00 00 00 00 00 00 00   00 00 00 00 00 00 00 00   then zeros                    firstIndex 1, previous term 0
 */
import { type Bytes, emptyBytes } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import { ByteReader, ByteWriter, DecodeError, readU32 } from "../lib/codec.ts";
import type { HardState, Index, NodeId, Term } from "../raft/types.ts";
import { damaged, LogError } from "./damage.ts";
import type { LogOwner } from "./options.ts";

export const segmentHeaderBytes = 4096;
const magicNumber = 0x73_67_6b_d7;
const format = 2;
const formatOldest = 1;
const raftGroup = 0;
const checkedBytes = segmentHeaderBytes - 4;

export interface SegmentHeader {
  readonly firstGroup: number;
  /** Groups between this one and `firstGroup` were replaced by this segment: all before it when this is 0. */
  readonly afterGroup: number;
  readonly link: number;
  readonly firstIndex: Index;
  readonly previousTerm: Term;
  /** As it was before the segment's first group, so that dropping older segments never drops a vote. */
  readonly hardState: HardState;
}

const namePattern = /^(\d{20})-(\d{20})\.log$/;

export function segmentName(firstIndex: Index, firstGroup: number): string {
  return `${String(firstIndex).padStart(20, "0")}-${String(firstGroup).padStart(20, "0")}.log`;
}

/** The name of a segment that is not complete yet, and never counts until it has its final name. */
export function unfinishedName(name: string): string {
  return `${name}.tmp`;
}

export function isUnfinishedName(name: string): boolean {
  return name.endsWith(".log.tmp") && namePattern.test(name.slice(0, -".tmp".length));
}

/** Whether the log starts with this segment, so that nothing before it counts. */
export function isStartOfLog(header: SegmentHeader): boolean {
  return header.afterGroup === 0;
}

/** The number of the first group that a segment's name promises, or undefined when it is no segment's name. */
export function firstGroupOfName(name: string): number | undefined {
  const parts = namePattern.exec(name);
  return parts === null ? undefined : Number(parts[2]);
}

export function encodeSegmentHeader(header: SegmentHeader, owner: LogOwner): Bytes {
  const writer = new ByteWriter(segmentHeaderBytes);
  writer.u32(magicNumber);
  writer.u16(format);
  writer.u16(raftGroup);
  writer.id(owner.clusterId);
  writer.id(owner.nodeId);
  writer.u53(header.firstGroup);
  writer.u53(header.afterGroup);
  writer.u32(header.link);
  writer.u53(header.firstIndex);
  writer.u53(header.previousTerm);
  writer.u53(header.hardState.term);
  writer.u8(header.hardState.vote === undefined ? 0 : 1);
  writer.id(header.hardState.vote ?? "0000000000000000");
  writer.u53(header.hardState.commit);
  writer.skip(checkedBytes - writer.length);
  writer.u32(crc32(writer.view()));
  return writer.view();
}

/** Checks everything that can be checked of a header alone; `bytes` may be anything. */
export function decodeSegmentHeader(
  bytes: Bytes,
  path: string,
  name: string,
  owner: LogOwner,
): SegmentHeader {
  const whole = bytes.length >= segmentHeaderBytes ? bytes.subarray(0, segmentHeaderBytes) : emptyBytes;
  if (whole.length === 0)
    throw damaged(
      path,
      0,
      `a segment header of ${segmentHeaderBytes} bytes`,
      `a file of ${bytes.length} bytes`,
    );
  if (readU32(whole, 0) !== magicNumber)
    throw damaged(path, 0, "the first bytes of a segment", "other bytes");
  const reader = new ByteReader(whole, 4);
  checkFormat(path, reader.u16(), reader.u16());
  if (crc32(whole.subarray(0, checkedBytes)) !== readU32(whole, checkedBytes))
    throw damaged(path, 0, "a segment header", "one whose checksum is wrong");
  checkOwner(path, "cluster", reader.id(), owner.clusterId);
  checkOwner(path, "node", reader.id(), owner.nodeId);
  try {
    const header = readFields(reader);
    const wanted = segmentName(header.firstIndex, header.firstGroup);
    if (wanted !== name) throw damaged(path, 0, `the segment of this name`, `the header of "${wanted}"`);
    if (header.afterGroup >= header.firstGroup || header.firstIndex < 1)
      throw damaged(
        path,
        0,
        "a segment after an older group",
        `group ${header.firstGroup} after ${header.afterGroup}`,
      );
    return header;
  } catch (error) {
    if (error instanceof DecodeError) throw damaged(path, 0, "a segment header", error.message);
    throw error;
  }
}

/** Whose segment it says it is; undefined when these bytes are no whole header. */
export function ownerOfSegment(bytes: Bytes): LogOwner | undefined {
  if (bytes.length < segmentHeaderBytes || readU32(bytes, 0) !== magicNumber) return undefined;
  if (crc32(bytes.subarray(0, checkedBytes)) !== readU32(bytes, checkedBytes)) return undefined;
  const reader = new ByteReader(bytes, 8);
  return { clusterId: reader.id(), nodeId: reader.id() };
}

function readFields(reader: ByteReader): SegmentHeader {
  const firstGroup = reader.u53();
  const afterGroup = reader.u53();
  const link = reader.u32();
  const firstIndex = reader.u53();
  const previousTerm = reader.u53();
  const term = reader.u53();
  const hasVote = reader.u8() !== 0;
  const vote = reader.id() as NodeId;
  const hardState = { term, vote: hasVote ? vote : undefined, commit: reader.u53() };
  return { firstGroup, afterGroup, link, firstIndex, previousTerm, hardState };
}

function checkFormat(path: string, foundFormat: number, foundGroup: number): void {
  if (foundFormat >= formatOldest && foundFormat <= format && foundGroup === raftGroup) return;
  throw formatError(
    path,
    `format ${foundFormat} of Raft group ${foundGroup}`,
    `formats ${formatOldest} to ${format} of Raft group ${raftGroup}`,
  );
}

export function formatError(path: string, found: string, wanted: string): LogError {
  return new LogError(
    "FORMAT",
    `Cannot read the Raft log: "${path}" is of ${found}, this kvraft reads ${wanted}; nothing was changed; ` +
      `start the kvraft version that wrote it`,
    { path, offset: 0, wanted, found },
  );
}

function checkOwner(path: string, what: string, found: string, wanted: string): void {
  if (found === wanted) return;
  throw new LogError(
    "IDENTITY",
    `Cannot use the Raft log: "${path}" belongs to ${what} ${found}, this ${what} is ${wanted}; nothing was changed; ` +
      `give each node its own dataDir`,
    { path, offset: 0, wanted: `a segment of ${what} ${wanted}`, found: `one of ${what} ${found}` },
  );
}
