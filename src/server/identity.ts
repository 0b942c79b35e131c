/**
 * Who a data folder belongs to: the file `identity`, replaced as a whole.
 *
 *     identity = "KVID", version u8 (2), state u8, place varint, node id, cluster id, members, crc u32
 *     state    = alone 1 | forming 2 | formed 3 | joined 4
 *
 * `alone` knows only its own node id; its cluster id is zeros and its members are none. The CRC is over all before it.
 */
import type { Disk } from "../env/disk.ts";
import { replaceFile } from "../env/replace-file.ts";
import { crc32 } from "../lib/checksum.ts";
import { ByteReader, ByteWriter, DecodeError, readU32 } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import type { NodeId } from "../raft/types.ts";
import { noId } from "../rpc/hello.ts";
import { type Members, noMembers, readMembers, writeMembers } from "./members.ts";

/** `formed` took part in forming its cluster, `joined` came later: its members are none, since the log tells them. */
export type FormationState = "alone" | "forming" | "formed" | "joined";

export interface Identity {
  readonly state: FormationState;
  /** Place in the server list, from 0. */
  readonly place: number;
  readonly nodeId: NodeId;
  readonly clusterId: string;
  readonly members: Members;
}

const fileName = "identity";
const states: readonly (FormationState | undefined)[] = [undefined, "alone", "forming", "formed", "joined"];

export function aloneIdentity(place: number, nodeId: NodeId): Identity {
  return { state: "alone", place, nodeId, clusterId: noId, members: noMembers };
}

/** Undefined for a folder that has none. Throws KvraftError: CORRUPTION, FORMAT. */
export function readIdentity(disk: Disk, folder: string): Identity | undefined {
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
      `Cannot read "${folder}/${fileName}": ${error.message}; restore the folder from a copy, or replace the node`,
    );
  }
}

/** Durable when it returns. */
export function writeIdentity(disk: Disk, folder: string, identity: Identity): void {
  const writer = new ByteWriter();
  writer.u32(magic);
  writer.u8(version);
  writer.u8(states.indexOf(identity.state));
  writer.varint(identity.place);
  writer.id(identity.nodeId);
  writer.id(identity.clusterId);
  writeMembers(writer, identity.members);
  writer.u32(crc32(writer.view(), magic));
  replaceFile(disk, folder, fileName, writer.take());
}

const version = 2;
/** "KVID" as a little-endian number; also the checksum's seed. */
const magic = 0x4449_564b;

function decode(bytes: Uint8Array): Identity {
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
  };
  reader.end();
  return identity;
}
