/**
 * Do the replicas hold the same state? Each node keeps a rolling hash over what it has applied (state-machine.ts), and
 * tells the others what it was after every so many entries:
 *
 *     agreement = index varint, hash u32
 *
 * Who finds that a majority agrees on another hash than its own is wrong, by bad memory, disk or program, and must not
 * go on: it stops and says after which entries. Messages may get lost: then the next ones tell. Each node tells those who
 * have dialled it, and believes those whom it has dialled: anybody can say hello as a majority, but not answer at its
 * addresses.
 */
import type { ByteReader, ByteWriter } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import { isQuorum, isVoter } from "../raft/quorum.ts";
import type { Configuration, Index, NodeId } from "../raft/types.ts";

export interface AgreementOptions {
  readonly nodeId: NodeId;
  /** Entries between two comparisons; 0 for none. */
  readonly everyEntries: number;
  readonly configuration: () => Configuration;
  readonly tell: (write: (body: ByteWriter) => void) => void;
  readonly differs: (error: KvraftError) => void;
}

/** Comparisons that are remembered: a node that is so many behind compares with what comes then. */
const checkpointsMax = 64;

export class Agreement {
  readonly #options: AgreementOptions;
  /** What each node, this one included, said of each place in the log. */
  readonly #hashes = new Map<Index, Map<NodeId, number>>();
  /** The last place where this node's hash was that of a majority. */
  #agreedIndex = 0;

  constructor(options: AgreementOptions) {
    this.#options = options;
  }

  /** This node's hash after entry `index`. */
  applied(index: Index, hash: number): void {
    const { everyEntries, nodeId, tell } = this.#options;
    if (everyEntries === 0 || index % everyEntries !== 0) return;
    this.#note(index, nodeId, hash);
    tell((body) => {
      body.varint(index);
      body.u32(hash);
    });
    this.#compare(index);
  }

  /** Another node told its own. Throws DecodeError. */
  heard(from: NodeId, reader: ByteReader): void {
    const [index, hash] = [reader.varint(), reader.u32()];
    reader.end();
    // Others have no say, and must not push out what was said by those who have.
    if (!isVoter(this.#options.configuration(), from)) return;
    this.#note(index, from, hash);
    this.#compare(index);
  }

  #note(index: Index, nodeId: NodeId, hash: number): void {
    let hashes = this.#hashes.get(index);
    if (hashes === undefined) {
      hashes = new Map();
      this.#hashes.set(index, hashes);
    }
    hashes.set(nodeId, hash);
    if (this.#hashes.size > checkpointsMax) this.#hashes.delete(Math.min(...this.#hashes.keys()));
  }

  #compare(index: Index): void {
    const { nodeId, configuration, differs } = this.#options;
    const hashes = this.#hashes.get(index);
    const own = hashes?.get(nodeId);
    if (hashes === undefined || own === undefined) return;
    for (const hash of new Set(hashes.values())) {
      if (!isQuorum(configuration(), (id) => hashes.get(id) === hash)) continue;
      if (hash === own) this.#agreedIndex = Math.max(this.#agreedIndex, index);
      else differs(this.#difference(index, own, hash));
    }
  }

  #difference(index: Index, own: number, other: number): KvraftError {
    const hex = (hash: number) => hash.toString(16).padStart(8, "0");
    return new KvraftError(
      "CORRUPTION",
      `Cannot go on: the state of this node differs from that of a majority (hash ${hex(own)}, theirs ${hex(other)}) ` +
        `since some entry from ${this.#agreedIndex + 1} to ${index}; its memory, disk or program is at fault: ` +
        "replace the node",
    );
  }
}
