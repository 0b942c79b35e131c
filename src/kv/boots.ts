/**
 * The starts of the members' processes, as the cluster remembers them for members that come later: a row of the state,
 * and what a command of the leader adds to it.
 *
 *     boots = count varint, (node id, number varint, boot id)*          the node that was noted last at the end
 *
 * Example, the second start of one node: 01 1122334455667788 02 0123456789ABCDEF.
 */
import type { Bytes } from "../lib/bytes.ts";
import { ByteReader, ByteWriter } from "../lib/codec.ts";

/** A start of a process: its place in its folder's list of starts, and the id that was drawn for it. */
export interface BootRow {
  readonly number: number;
  readonly id: string;
}

/** Twice as many as there are members at the most: nodes that were removed go first. */
const nodesMax = 128;

export function encodeBoots(boots: ReadonlyMap<string, BootRow>): Bytes {
  const writer = new ByteWriter();
  writer.varint(boots.size);
  for (const [nodeId, { number, id }] of boots) {
    writer.id(nodeId);
    writer.varint(number);
    writer.id(id);
  }
  return writer.take();
}

/** Throws DecodeError. */
export function decodeBoots(bytes: Bytes): Map<string, BootRow> {
  const reader = new ByteReader(bytes);
  const boots = new Map<string, BootRow>();
  for (let count = reader.varint(); count > 0; count--)
    boots.set(reader.id(), { number: reader.varint(), id: reader.id() });
  reader.end();
  return boots;
}

/** A later start takes an earlier one's place; of two with one number the first stays, as one of them is a copy's. */
export function noteBoots(boots: Map<string, BootRow>, added: ReadonlyMap<string, BootRow>): void {
  for (const [nodeId, boot] of added) {
    if (boot.number <= (boots.get(nodeId)?.number ?? 0)) continue;
    boots.delete(nodeId);
    boots.set(nodeId, boot);
  }
  for (const nodeId of boots.keys()) {
    if (boots.size <= nodesMax) break;
    boots.delete(nodeId);
  }
}
