/**
 * What this node remembers of the others' processes: the file `admitted`, two slots that are written in turns, so that a
 * torn write leaves the one before.
 *
 *     admitted = slot, slot
 *     slot     = "KVAD", crc u32 over what follows, version u8 (1), write u53, count varint, node*, zeros to 8 KiB
 *     node     = node id, number varint, boot id, term varint, index varint
 *
 * The boot is the last one that was admitted, number 0 for none yet. The slot with the later write counts.
 */
import type { Disk, DiskFile } from "../env/disk.ts";
import { replaceFile } from "../env/replace-file.ts";
import type { Bytes } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import { ByteReader, ByteWriter, readU32 } from "../lib/codec.ts";
import { KvraftError, replaceNodeAdvice } from "../lib/error.ts";
import type { NodeId } from "../raft/types.ts";
import { type Boot, noId } from "../rpc/hello.ts";
import { readBoot, writeBoot } from "./boot-messages.ts";

/** What is remembered of one node; see boot-rules.ts. */
interface Known {
  boot: Boot | undefined;
  term: number;
  index: number;
  /** The term of the last write, done or under way, and of the last one that is done. */
  writtenTerm: number;
  durableTerm: number;
}

interface Slot {
  readonly write: number;
  readonly nodes: Map<NodeId, Known>;
}

const fileName = "admitted";
/** "KVAD" as a little-endian number; also the checksum's seed. */
const magic = 0x4441_564b;
const version = 1;
const slotBytes = 8192;
/** Twice as many as a cluster has members at the most: a slot holds them, whatever their numbers are. */
const nodesMax = 128;

export class BootMemory {
  readonly #file: DiskFile;
  readonly #nodes: Map<NodeId, Known>;
  /** Counts the boots and terms that were noted, and how many of them are durable. Nothing waits for an index. */
  #noted = 0;
  #durable = 0;
  #isIndexNew = false;
  #isWriting = false;
  #write: number;
  /** Run when as much as they name is durable. */
  #waiting: { readonly noted: number; readonly run: () => void }[] = [];
  #isClosed = false;
  readonly #failed: (error: Error) => void;

  /** Makes an empty one, durably, unless there is one: in a folder that has yet to get its identity. */
  static create(disk: Disk, folder: string): void {
    if (disk.exists(`${folder}/${fileName}`)) return;
    const bytes = new Uint8Array(2 * slotBytes);
    bytes.set(encodeSlot({ write: 0, nodes: new Map() }));
    replaceFile(disk, folder, fileName, bytes);
  }

  /** `failed` is told when it cannot be written. Throws KvraftError: IDENTITY when it is missing, CORRUPTION, FORMAT. */
  static open(disk: Disk, folder: string, failed: (error: Error) => void): BootMemory {
    const slot = BootMemory.check(disk, folder);
    return new BootMemory(disk.open(`${folder}/${fileName}`, "write"), slot, failed);
  }

  /** What it holds. Throws as `open` does. */
  static check(disk: Disk, folder: string): Slot {
    const path = `${folder}/${fileName}`;
    const bytes = disk.read(path);
    if (bytes === undefined)
      throw new KvraftError(
        "IDENTITY",
        `Cannot use "${folder}": "${path}" is missing, so this node cannot tell a copy of another member's folder from ` +
          `the folder; put the file back, or ${replaceNodeAdvice}`,
      );
    const slots = [0, slotBytes].map((at) => decodeSlot(path, bytes.subarray(at, at + slotBytes)));
    const [first, second] = slots;
    const slot = (second?.write ?? -1) > (first?.write ?? -1) ? second : first;
    if (slot === undefined)
      throw new KvraftError(
        "CORRUPTION",
        `Cannot use "${path}": both of its slots are damaged; ${replaceNodeAdvice}`,
      );
    return slot;
  }

  private constructor(file: DiskFile, slot: Slot, failed: (error: Error) => void) {
    this.#file = file;
    this.#nodes = slot.nodes;
    this.#write = slot.write;
    this.#failed = failed;
  }

  of(nodeId: NodeId): Readonly<Known> | undefined {
    return this.#nodes.get(nodeId);
  }

  /** This boot was found to be good. Durable when `run` is called. */
  admit(nodeId: NodeId, boot: Boot, isMember: (nodeId: NodeId) => boolean, run: () => void): void {
    this.#entry(nodeId, isMember).boot = boot;
    this.#noted++;
    this.whenDurable(run);
    this.flush();
  }

  /** The node was at this term. Returns whether that is remembered durably; else it will be, see `whenDurable`. */
  noteTerm(nodeId: NodeId, term: number): boolean {
    const known = this.#nodes.get(nodeId);
    // What is not admitted counts nowhere, so that there is nothing to remember of it.
    if (known === undefined || known.durableTerm >= term) return true;
    if (known.term >= term) return false;
    known.term = term;
    this.#noted++;
    this.flush();
    return false;
  }

  /** The node has, and all have decided, the log up to here. It is written with the next flush. */
  noteIndex(nodeId: NodeId, index: number): void {
    const known = this.#nodes.get(nodeId);
    if (known === undefined || known.index >= index) return;
    known.index = index;
    this.#isIndexNew = true;
  }

  /** Runs it when all boots and terms that were noted up to now are durable, at once if they are. */
  whenDurable(run: () => void): void {
    if (this.#durable === this.#noted) run();
    else this.#waiting.push({ noted: this.#noted, run });
  }

  /** Writes what was noted, beside the event loop. */
  flush(): void {
    const isNew = this.#durable !== this.#noted || this.#isIndexNew;
    if (this.#isWriting || !isNew || this.#isClosed) return;
    this.#isWriting = true;
    this.#isIndexNew = false;
    const noted = this.#noted;
    for (const known of this.#nodes.values()) known.writtenTerm = known.term;
    const write = ++this.#write;
    const bytes = encodeSlot({ write, nodes: this.#nodes });
    this.#file.writeDurably((write % 2) * slotBytes, bytes, (error) => {
      this.#isWriting = false;
      if (this.#isClosed) return;
      if (error !== undefined) return this.#failed(error);
      this.#durable = noted;
      for (const known of this.#nodes.values()) known.durableTerm = known.writtenTerm;
      this.#wake();
      if (this.#durable !== this.#noted) this.flush();
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#file.close();
  }

  #wake(): void {
    const due = this.#waiting.filter(({ noted }) => noted <= this.#durable);
    this.#waiting = this.#waiting.filter(({ noted }) => noted > this.#durable);
    for (const { run } of due) run();
  }

  #entry(nodeId: NodeId, isMember: (nodeId: NodeId) => boolean): Known {
    const found = this.#nodes.get(nodeId);
    if (found !== undefined) return found;
    for (const other of [...this.#nodes.keys()]) {
      if (this.#nodes.size < nodesMax) break;
      if (!isMember(other)) this.#nodes.delete(other);
    }
    const known: Known = { boot: undefined, term: 0, index: 0, writtenTerm: 0, durableTerm: 0 };
    this.#nodes.set(nodeId, known);
    return known;
  }
}

function encodeSlot({ write, nodes }: Slot): Bytes {
  const writer = new ByteWriter(slotBytes);
  writer.u32(magic);
  writer.u32(0);
  writer.u8(version);
  writer.u53(write);
  writer.varint(nodes.size);
  for (const [nodeId, { boot, term, index }] of nodes) {
    writer.id(nodeId);
    writeBoot(writer, boot ?? { number: 0, id: noId });
    writer.varint(term);
    writer.varint(index);
  }
  writer.skip(slotBytes - writer.length);
  writer.setU32(4, crc32(writer.viewFrom(8), magic));
  return writer.take();
}

/** Undefined when it was never written, or not wholly. */
function decodeSlot(path: string, bytes: Bytes): Slot | undefined {
  if (bytes.length < slotBytes || readU32(bytes, 0) !== magic) return undefined;
  if (crc32(bytes.subarray(8), magic) !== readU32(bytes, 4)) return undefined;
  if (bytes[8] !== version)
    throw new KvraftError(
      "FORMAT",
      `Cannot use "${path}": it has format ${bytes[8]}, this build knows ${version}; use a newer build`,
    );
  const reader = new ByteReader(bytes, 9);
  const write = reader.u53();
  const nodes = new Map<NodeId, Known>();
  for (let count = reader.varint(); count > 0; count--) {
    const nodeId = reader.id() as NodeId;
    const boot = readBoot(reader);
    const [term, index] = [reader.varint(), reader.varint()];
    const known = { boot: boot.number === 0 ? undefined : boot, term, index };
    nodes.set(nodeId, { ...known, writtenTerm: term, durableTerm: term });
  }
  return { write, nodes };
}
