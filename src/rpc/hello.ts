/**
 * The hello that opens a connection, and its answer: bodies of the first frame in each direction (kinds hello and
 * helloReply, see frame.ts). Both keep this shape in every version of the protocol.
 *
 *     hello      = "KVRF" versionMin:u8 versionMax:u8 role:u8 purpose:u8 clusterId:id nodeId:id field*
 *     helloReply = "KVRF" code:u8 version:u8 clusterId:id nodeId:id timeMs:u53 keyBytesMax:u32 valueBytesMax:u32 field*
 *     role       = peer 1 | client 2
 *     purpose    = control 1 | bulk 2 | client 3 | form 4
 *     code       = accepted 0, or why not: see `helloCodes`
 *     field      = tag:u8 bytes
 *     tags       = 1 text of the refusal | 2 leader, host:port | 3 boot id, 16 hexadecimal digits
 *                | 4 servers, host:port separated by spaces | 5 where the sender listens, host:port
 *                | 6 start of the sender's process: number varint, boot id 8 bytes, term varint, index varint
 *
 * An id of zeros is none, or not known. Fields with unknown tags are skipped, so that later versions may add some.
 *
 * Example: a client that speaks version 1 and knows no cluster:
 *
 *     4B 56 52 46  01 01  02    03       00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00
 *     magic        1 - 1  role  purpose  cluster id               node id
 *
 * Example of fields behind an answer, a boot id and two servers:
 *
 *     03   10     30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66    04   07     61 3A 31 20 62 3A 32
 *     tag  bytes  "0123456789abcdef"                                 tag  bytes  "a:1 b:2"
 *
 * Example of a start, the third of its folder, which found term 5 and the log's end at 200:
 * 06 0C 03 0123456789ABCDEF 05 C8 01.
 */
import { type Bytes, fromUtf8, toUtf8 } from "../lib/bytes.ts";
import { ByteReader, ByteWriter, DecodeError } from "../lib/codec.ts";
import { helloServersBytesMax, helloTextBytesMax } from "./limits.ts";
import { printable } from "./printable.ts";

/** The versions of the protocol that this build speaks. */
export const protocolVersionMin = 1;
export const protocolVersionMax = 1;

/** The id of no cluster and no node. */
export const noId = "0000000000000000";

export type HelloRole = "peer" | "client";
/** What a connection is for: peers keep large and urgent apart (control, bulk), `form` is the formation of a cluster. */
export type HelloPurpose = "control" | "bulk" | "client" | "form";

/** A start of a node's process, as its data folder lists it. */
export interface Boot {
  /** Its place in the folder's list, from 1. */
  readonly number: number;
  /** 16 hexadecimal digits, drawn at the start. */
  readonly id: string;
}

/** What a member's process says of itself: the boot, and the term and the last log index that it read from disk then. */
export interface ProcessStart {
  readonly boot: Boot;
  readonly term: number;
  readonly index: number;
}

export interface Hello {
  readonly versionMin: number;
  readonly versionMax: number;
  /** 16 hexadecimal digits; `noId` when the sender knows none. */
  readonly clusterId: string;
  /** The sender's; `noId` for clients. */
  readonly nodeId: string;
  readonly role: HelloRole;
  readonly purpose: HelloPurpose;
  /** `host:port` where the sender, a peer, is found; undefined when it does not say. A stranger's text: parse it. */
  readonly address?: string;
  /** Of a member; undefined before its cluster is formed, and for clients. */
  readonly start?: ProcessStart;
}

/**
 * - `version` no version in common          - `cluster` another cluster
 * - `node`    the node id is not welcome     - `role`    the role may not connect to this port
 * - `busy`    too many connections           - `state`   the node cannot serve that purpose now
 * - `removed` the node was removed from the cluster, and is told so
 * - `boot`    the sender's folder lacks what the answerer remembers of its node: a copy, or set back in time
 * - `condemned` the same, said by a leader that has committed in its term: the sender never starts again
 * - `unknown` a code of a later version
 */
export type RefusalCode =
  | "version"
  | "cluster"
  | "node"
  | "role"
  | "busy"
  | "state"
  | "removed"
  | "boot"
  | "condemned"
  | "unknown";
export type HelloCode = "accepted" | RefusalCode;

export interface HelloReply {
  readonly code: HelloCode;
  /** Why not, for people; empty when accepted. */
  readonly text: string;
  /** The version both sides speak from now on; 0 in a refusal. */
  readonly version: number;
  readonly clusterId: string;
  readonly nodeId: string;
  /** The cluster's lease time as the answerer knows it; 0 when it knows none. */
  readonly timeMs: number;
  readonly keyBytesMax: number;
  readonly valueBytesMax: number;
  /** `host:port` of the leader for clients, empty when not known. */
  readonly leader: string;
  /** 16 hexadecimal digits, drawn anew at each start of the process: another one is another process. Empty when not told. */
  readonly bootId: string;
  /**
   * Addresses of the members of the cluster, `host:port` separated by spaces; empty when not known. Of many only those
   * that fit into helloServersBytesMax, whole ones. What is read is a stranger's ASCII text: parse each of them.
   */
  readonly servers: string;
  /** Of a member's process; undefined before its cluster is formed. */
  readonly start?: ProcessStart;
}

/** The hello of this build. */
export function makeHello(hello: Omit<Hello, "versionMin" | "versionMax">): Hello {
  return { versionMin: protocolVersionMin, versionMax: protocolVersionMax, ...hello };
}

/** The highest version in common, or undefined. */
export function commonVersion(hello: Hello): number | undefined {
  const version = Math.min(hello.versionMax, protocolVersionMax);
  return version >= Math.max(hello.versionMin, protocolVersionMin) ? version : undefined;
}

export function encodeHello(output: ByteWriter, hello: Hello): void {
  output.u32(magic);
  output.u8(hello.versionMin);
  output.u8(hello.versionMax);
  output.u8(roles.indexOf(hello.role));
  output.u8(purposes.indexOf(hello.purpose));
  output.id(hello.clusterId);
  output.id(hello.nodeId);
  writeField(output, addressTag, hello.address ?? "");
  writeStart(output, hello.start);
}

/** Throws DecodeError. */
export function decodeHello(input: ByteReader): Hello {
  readMagic(input);
  const versionMin = input.u8();
  const versionMax = input.u8();
  if (versionMin > versionMax)
    throw new DecodeError(`the hello's versions ${versionMin} to ${versionMax} are none`);
  const role = roles[input.u8()];
  const purpose = purposes[input.u8()];
  if (role === undefined || role === "") throw new DecodeError("the hello has an unknown role");
  if (purpose === undefined || purpose === "") throw new DecodeError("the hello has an unknown purpose");
  const hello = { versionMin, versionMax, role, purpose, clusterId: input.id(), nodeId: input.id() };
  const { address, start } = readFields(input);
  return { ...hello, ...(address !== "" && { address }), ...(start && { start }) };
}

export function encodeHelloReply(output: ByteWriter, reply: HelloReply): void {
  output.u32(magic);
  output.u8(helloCodes.indexOf(reply.code));
  output.u8(reply.version);
  output.id(reply.clusterId);
  output.id(reply.nodeId);
  output.u53(reply.timeMs);
  output.u32(reply.keyBytesMax);
  output.u32(reply.valueBytesMax);
  writeField(output, textTag, reply.text);
  writeField(output, leaderTag, reply.leader);
  writeField(output, bootIdTag, reply.bootId);
  writeField(output, serversTag, reply.servers);
  writeStart(output, reply.start);
}

/** Throws DecodeError. */
export function decodeHelloReply(input: ByteReader): HelloReply {
  readMagic(input);
  const code = helloCodes[input.u8()] ?? "unknown";
  const reply = {
    code,
    version: input.u8(),
    clusterId: input.id(),
    nodeId: input.id(),
    timeMs: input.u53(),
    keyBytesMax: input.u32(),
    valueBytesMax: input.u32(),
  };
  if (reply.timeMs > timeMsMax) throw new DecodeError("the hello's answer has a time that no clock shows");
  const { text, leader, bootId, servers, start } = readFields(input);
  return { ...reply, text, leader, bootId, servers, ...(start && { start }) };
}

/** The last moment that a Date can hold: what is added to it for as long as a connection lasts stays a whole number. */
export const timeMsMax = 8_640_000_000_000_000;

/** "KVRF" as a little-endian number. */
const magic = 0x4652_564b;
/** The numbers on the wire are the places in these lists. */
const roles = ["", "peer", "client"] as const;
const purposes = ["", "control", "bulk", "client", "form"] as const;
const helloCodes = [
  "accepted",
  "version",
  "cluster",
  "node",
  "role",
  "busy",
  "state",
  "removed",
  "boot",
  "condemned",
] as readonly HelloCode[];
const textTag = 1;
const leaderTag = 2;
const bootIdTag = 3;
const serversTag = 4;
const addressTag = 5;
const startTag = 6;

function readMagic(input: ByteReader): void {
  if (input.u32() !== magic) throw new DecodeError("the hello does not start with KVRF");
}

/** Addresses that are separated by spaces: as many whole ones, from the first on, as whoever reads them takes. */
export function firstServers(servers: string): string {
  return fromUtf8(cut(serversTag, toUtf8(servers)));
}

/** Empty fields are left out; long ones are cut, since they are for people. */
function writeField(output: ByteWriter, tag: number, text: string): void {
  const bytes = cut(tag, Buffer.from(text, "utf8"));
  if (bytes.length === 0) return;
  output.u8(tag);
  output.bytes(bytes);
}

function writeStart(output: ByteWriter, start: ProcessStart | undefined): void {
  if (start === undefined) return;
  const field = new ByteWriter(32);
  field.varint(start.boot.number);
  field.id(start.boot.id);
  field.varint(start.term);
  field.varint(start.index);
  output.u8(startTag);
  output.bytes(field.view());
}

/** Later versions may add to it. */
function readStart(bytes: Bytes): ProcessStart {
  const reader = new ByteReader(bytes);
  const boot = { number: reader.varint(), id: reader.id() };
  return { boot, term: reader.varint(), index: reader.varint() };
}

/** Of a hello, or of an answer. */
interface Fields extends Pick<HelloReply, "text" | "leader" | "bootId" | "servers"> {
  readonly address: string;
  readonly start: ProcessStart | undefined;
}

function readFields(input: ByteReader): Fields {
  const fields = { text: "", leader: "", bootId: "", servers: "", address: "" };
  let start: ProcessStart | undefined;
  while (input.remaining > 0) {
    const tag = input.u8();
    const bytes = input.bytes(); // Unknown ones may be longer than ours: the frame bounds them.
    if (tag === startTag) start = readStart(bytes);
    const text = printable(fromUtf8(cut(tag, bytes)));
    if (tag === textTag) fields.text = text;
    else if (tag === leaderTag) fields.leader = text;
    else if (tag === addressTag) fields.address = text;
    else if (tag === bootIdTag) fields.bootId = /^[0-9a-f]{16}$/.test(text) ? text : "";
    else if (tag === serversTag) fields.servers = /^[\x20-\x7e]*$/.test(text) ? text : "";
  }
  return { ...fields, start };
}

/** As much as a field may have; of the servers whole addresses, since half of one is another one. */
function cut(tag: number, bytes: Bytes): Bytes {
  if (tag !== serversTag) return bytes.subarray(0, helloTextBytesMax);
  if (bytes.length <= helloServersBytesMax) return bytes;
  return bytes.subarray(0, Math.max(0, bytes.lastIndexOf(0x20, helloServersBytesMax)));
}
