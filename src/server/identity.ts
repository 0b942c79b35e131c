/**
 * Who a data folder belongs to: the file `identity`, replaced as a whole.
 *
 *     identity = "KVID", version u8 (3), state u8, place varint, node id, cluster id, members, origin, crc u32
 *     state    = alone 1 | forming 2 | formed 3 | joined 4 | restoring 5 | prepared 6
 *     origin   = 0 u8 | 1 u8, checksum text, servers text
 *
 * `alone` knows only its own node id; its cluster id is zeros and its members are none. `restoring` and `prepared` do not
 * have a node id either: it is zeros. The origin is the backup that the folder's state comes from, with the servers it was
 * prepared for ("host:port host:port ..."); the folder keeps it when its cluster is formed. The CRC is over all before it.
 * Example, place 1, prepared from the backup with checksum "a1b2" for the servers a:1 and b:1:
 *
 *     4B 56 49 44  03  06  01  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  03 00 00
 *     01  04 61 31 62 32  07 61 3A 31 20 62 3A 31  crc
 */
import type { Disk } from "../env/disk.ts";
import { replaceFile } from "../env/replace-file.ts";
import { crc32 } from "../lib/checksum.ts";
import { ByteReader, ByteWriter, DecodeError, readU32 } from "../lib/codec.ts";
import { KvraftError, replaceNodeAdvice } from "../lib/error.ts";
import type { NodeId } from "../raft/types.ts";
import { noId } from "../rpc/hello.ts";
import { type Members, noMembers, readMembers, writeMembers } from "./members.ts";

/** `formed` took part in forming its cluster, `joined` came later: its members are none, since the log tells them. */
export type FormationState = "alone" | "forming" | "formed" | "joined";

/** `restoring`: a backup is being written into the folder. `prepared`: all of it is there, and no server has started. */
export type FolderState = FormationState | "restoring" | "prepared";

/** Where the state in a folder comes from that `snapshot restore` made. */
export interface Origin {
  /** That of the backup: 64 hexadecimal digits. */
  readonly checksum: string;
  /** The only servers that form a cluster of it: "host:port host:port ...", in the order of the list. */
  readonly servers: string;
}

export interface Identity<State extends FolderState = FormationState> {
  readonly state: State;
  /** Place in the server list, from 0. */
  readonly place: number;
  readonly nodeId: NodeId;
  readonly clusterId: string;
  readonly members: Members;
  /** Undefined for a cluster that began empty. */
  readonly origin: Origin | undefined;
}

/** Of any folder, also one that no server has started on. */
export type FolderIdentity = Identity<FolderState>;

const fileName = "identity";
const states: readonly (FolderState | undefined)[] = [
  undefined,
  "alone",
  "forming",
  "formed",
  "joined",
  "restoring",
  "prepared",
];
/** Of the list of servers: a hundred with long names. */
const textBytesMax = 32_768;

export function aloneIdentity(place: number, nodeId: NodeId, origin?: Origin): Identity {
  return { state: "alone", place, nodeId, clusterId: noId, members: noMembers, origin };
}

/** Of a folder that no server has started on. It holds no id: a copy of it is nobody's copy. */
export function unstartedIdentity(
  state: "restoring" | "prepared",
  place: number,
  origin: Origin,
): FolderIdentity {
  return { state, place, nodeId: noId as NodeId, clusterId: noId, members: noMembers, origin };
}

/** Whether a server has started on the folder, so that it has a node id. */
export function isStarted(identity: FolderIdentity): identity is Identity {
  return identity.state !== "restoring" && identity.state !== "prepared";
}

/** Undefined for a folder that has none. Throws KvraftError: CORRUPTION, FORMAT. */
export function readIdentity(disk: Disk, folder: string): FolderIdentity | undefined {
  const bytes = disk.read(`${folder}/${fileName}`);
  if (bytes === undefined) return undefined;
  try {
    if (bytes.length < 9 || readU32(bytes, 0) !== magic) throw new DecodeError("it does not begin with KVID");
    if (bytes[4] !== version)
      throw new KvraftError(
        "FORMAT",
        `Cannot use "${folder}": its identity has format ${bytes[4]}, this build knows ${version}; use a newer build`,
      );
    return decode(bytes);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new KvraftError(
      "CORRUPTION",
      `Cannot read "${folder}/${fileName}": ${error.message}; ${replaceNodeAdvice}`,
    );
  }
}

/** Durable when it returns. */
export function writeIdentity(disk: Disk, folder: string, identity: FolderIdentity): void {
  const writer = new ByteWriter();
  writer.u32(magic);
  writer.u8(version);
  writer.u8(states.indexOf(identity.state));
  writer.varint(identity.place);
  writer.id(identity.nodeId);
  writer.id(identity.clusterId);
  writeMembers(writer, identity.members);
  writer.u8(Number(identity.origin !== undefined));
  if (identity.origin !== undefined) {
    writer.text(identity.origin.checksum);
    writer.text(identity.origin.servers);
  }
  writer.u32(crc32(writer.view(), magic));
  replaceFile(disk, folder, fileName, writer.take());
}

const version = 3;
/** "KVID" as a little-endian number; also the checksum's seed. */
const magic = 0x4449_564b;

function decode(bytes: Uint8Array): FolderIdentity {
  const end = bytes.length - 4;
  if (crc32(bytes.subarray(0, end), magic) !== readU32(bytes, end))
    throw new DecodeError("its checksum fails");
  const reader = new ByteReader(bytes, 5, end);
  const state = states[reader.u8()];
  if (state === undefined) throw new DecodeError("its state is unknown");
  const identity = {
    state,
    place: reader.varint(),
    nodeId: reader.id() as NodeId,
    clusterId: reader.id(),
    members: readMembers(reader),
    origin: reader.u8() === 0 ? undefined : { checksum: reader.text(64), servers: reader.text(textBytesMax) },
  };
  reader.end();
  return identity;
}
