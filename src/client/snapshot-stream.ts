import type { Clock } from "../env/clock.ts";
import { type Address, formatAddress } from "../lib/address.ts";
import type { Bytes } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import type { ByteReader, ByteWriter } from "../lib/codec.ts";
import type { ClientEnd } from "../rpc/client-end.ts";
import { noId } from "../rpc/hello.ts";
import { type Method, method } from "../rpc/method.ts";
import { encodeRequestHead } from "../rpc/request.ts";
import {
  decodeSnapshotHead,
  decodeSnapshotPiece,
  freshSnapshot,
  type SnapshotHead,
  type SnapshotPiece,
} from "../rpc/snapshot-requests.ts";
import { replyOf } from "./call-reply.ts";
import { KVError } from "./kv-error.ts";
import { sleep } from "./leader-calls.ts";
import { snapshotTriesMin } from "./limits.ts";

/** Between two tries on the same server, in ms: it may be starting. */
const pauseMs = 100;

export interface SnapshotStreamOptions {
  readonly clock: Clock;
  /** A connection of its own, which the stream closes: pieces are large, and other requests would wait behind them. */
  readonly end: ClientEnd;
  /** How long opening may take, and each piece, in ms. */
  readonly timeoutMs: number;
  /** Told once, when the stream has let go of everything. */
  readonly closed: (stream: SnapshotStream) => void;
}

/**
 * The replicated state of one node as it was at one moment, chunk by chunk: rows of the store's grammar
 * (leveldb/row-chunk.ts), all prefixes of the key space in order. While a chunk is consumed the next one is on its way,
 * and no more than that is in memory. What is lost on the way is asked for again, on the same node, while it keeps the
 * snapshot. It ends only after all of it has come and its checksum is right. May be iterated once.
 */
export class SnapshotStream implements AsyncIterable<Bytes> {
  /** The cluster that the node belongs to. */
  readonly clusterId: string;
  readonly #options: SnapshotStreamOptions;
  readonly #head: SnapshotHead;
  #rowCount: number | undefined;
  #isClosed = false;

  /** Throws a KVError: nothing is open then. */
  static async open(options: SnapshotStreamOptions, isFresh: boolean): Promise<SnapshotStream> {
    try {
      const write = (body: ByteWriter) => body.u8(isFresh ? freshSnapshot : 0);
      const head = await ask(options, method.openSnapshot, write, decodeSnapshotHead, options.timeoutMs);
      return new SnapshotStream(options, head, options.end.helloReply?.clusterId ?? noId);
    } catch (error) {
      void options.end.close();
      throw error;
    }
  }

  private constructor(options: SnapshotStreamOptions, head: SnapshotHead, clusterId: string) {
    this.#options = options;
    this.#head = head;
    this.clusterId = clusterId;
  }

  /** The node that is read from. */
  get address(): Address {
    return this.#options.end.address;
  }

  /** The last log entry that the state contains. */
  get index(): number {
    return this.#head.index;
  }

  /** The term of that entry. */
  get term(): number {
    return this.#head.term;
  }

  /** The database's revision in this state. */
  get revision(): number {
    return this.#head.revision;
  }

  /** About how many bytes will come. */
  get bytes(): number {
    return this.#head.bytes;
  }

  /** How many rows there are in all; undefined before the last chunk has come. Its consumer, who decodes them, compares. */
  get rowCount(): number | undefined {
    return this.#rowCount;
  }

  /** Throws a KVError when the rest cannot be had: what came before is of no use then. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Bytes> {
    try {
      let crc = 0;
      let next = this.#read(0);
      for (let number = 1; ; number++) {
        const { rows, end } = await next;
        if (end === undefined) next = this.#read(number);
        // Its failure is told when the chunk is asked for, if it ever is.
        next.catch(() => {});
        crc = crc32(rows, crc);
        if (end !== undefined && end.crc !== crc) throw this.#damaged(crc, end.crc);
        this.#rowCount = end?.rowCount;
        yield rows;
        if (end !== undefined) return;
      }
    } finally {
      this.close();
    }
  }

  /** Lets go of the node's snapshot. Idempotent; done by itself at the end of an iteration, however it ends. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    void this.#options.end.close();
    this.#options.closed(this);
  }

  #read(number: number): Promise<SnapshotPiece> {
    const { token } = this.#head;
    const { timeoutMs } = this.#options;
    const write = (body: ByteWriter) => {
      body.varint(token);
      body.varint(number);
    };
    // Several tries fit into the time: an answer may be lost without anybody saying so.
    const tryMs = timeoutMs / snapshotTriesMin;
    return ask(this.#options, method.readSnapshot, write, decodeSnapshotPiece, tryMs);
  }

  #damaged(found: number, wanted: number): KVError {
    const name = formatAddress(this.address);
    return new KVError(
      "not-done",
      "Damaged",
      `Cannot read the snapshot of ${name}: its checksum is ${hex(found)}, ${name} says ${hex(wanted)}; read it again`,
    );
  }
}

/** Asks one node, until it answers or the time is up. */
async function ask<T>(
  { clock, end, timeoutMs }: SnapshotStreamOptions,
  what: Method,
  write: (body: ByteWriter) => void,
  read: (payload: ByteReader) => T,
  tryMs: number,
): Promise<T> {
  const deadlineMs = clock.monotonicMs() + timeoutMs;
  const fail = (outcome: "not-done" | "refused", code: string, text: string) =>
    new KVError(outcome, code, `Cannot read the snapshot of ${formatAddress(end.address)}: ${text}`);
  for (;;) {
    const attemptMs = Math.min(tryMs, deadlineMs - clock.monotonicMs());
    const encode = (body: ByteWriter) => {
      encodeRequestHead(body, attemptMs);
      write(body);
    };
    const result = await end.call(what, encode, attemptMs);
    if (!result.ok && result.reason === "closed") throw fail("not-done", "Closed", "the client is closed");
    const reply = replyOf(result, read);
    if (reply.kind === "answer" && reply.status === "OK") return reply.payload;
    if (reply.kind === "answer") throw fail("refused", reply.status, `it answered ${reply.status}`);
    if (reply.code === "ErrSnapshot")
      throw fail("not-done", reply.code, `${reply.text}; begin again, with a new one`);
    if (!reply.retryable) throw fail("refused", reply.code, reply.text);
    if (clock.monotonicMs() + pauseMs >= deadlineMs) throw fail("not-done", "Deadline", reply.text);
    await sleep(clock, pauseMs);
  }
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, "0");
}
