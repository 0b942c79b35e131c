import type { Clock } from "../env/clock.ts";
import { statusOf } from "../kv/status.ts";
import type { Install } from "../leveldb/install.ts";
import type { LevelDB } from "../leveldb/level-db.ts";
import { crc32 } from "../lib/checksum.ts";
import { ByteReader, type ByteWriter, DecodeError } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import type { NodeId } from "../raft/types.ts";
import { method } from "../rpc/method.ts";
import type { CallResult } from "../rpc/pending-calls.ts";
import { decodeAnswerHead, decodeRefusal } from "../rpc/reply.ts";
import { encodeRequestHead } from "../rpc/request.ts";
import {
  decodeSnapshotHead,
  decodeSnapshotPiece,
  type SnapshotHead,
  type SnapshotPiece,
  snapshotIdleMsMax,
} from "../rpc/snapshot-requests.ts";
import type { Driver } from "./driver.ts";
import { snapshotPieceBytes, snapshotPieceMsMax, snapshotPiecesAheadMax } from "./limits.ts";

export interface SnapshotFetchOptions {
  readonly clock: Clock;
  readonly store: LevelDB;
  readonly driver: Driver;
  readonly call: (
    from: NodeId,
    method: number,
    write: (body: ByteWriter) => void,
    timeoutMs: number,
  ) => Promise<CallResult>;
  /** A source that has not answered for so long gives way to another node that leads now and offers the state. */
  readonly silentMs: number;
  readonly log: (line: string) => void;
  /** The store is another one now, durably. */
  readonly restored: () => void;
}

/** The next try after a piece did not come, in ms: connections come back by themselves. */
const retryMs = 200;
/** The pause after a transfer that came to nothing, in ms: twice as long each time, while the same node offers it. */
const pauseMsMin = 200;
const pauseMsMax = 10_000;
/** A source that is slow and gets on may take so many times what its slowest piece took, before it counts as silent. */
const slowPieces = 4;
/** How often people are told how far it is, in ms. */
const tellEveryMs = 5_000;

/**
 * Gets the state that the logs do not lead to any more, from the member that offered it, and swaps it in. Rows go into
 * files beside the old store, which is used as long as anything can go wrong: only when every row and the sum over all of
 * them were found to be right is MANIFEST replaced, once. One transfer at a time, one piece asked for at a time, and no
 * more pieces than the store's worker keeps up with. A piece that was lost on the way is asked for again.
 */
export class SnapshotFetch {
  readonly #options: SnapshotFetchOptions;
  #transfer: Transfer | undefined;
  /** Transfers from one node, one after the other, that have come to nothing. */
  #failed = { from: "", count: 0, untilMs: 0 };

  constructor(options: SnapshotFetchOptions) {
    this.#options = options;
  }

  /**
   * The leader says that this node needs the state, again and again. Offers that come during a transfer change nothing,
   * unless its source is another node that does not answer any more (it hangs, or is cut off): the cluster may wait for
   * this one. A source that gets on is kept, whoever leads, so that changes of the leader do not send the transfer back to
   * its start again and again. Offers in the pause after a transfer that has failed change nothing either: what is
   * damaged would be fetched without end.
   */
  offered(from: NodeId): void {
    if (this.#transfer !== undefined) return this.#transfer.replaceBy(from);
    const isPausing = this.#failed.from === from && this.#options.clock.monotonicMs() < this.#failed.untilMs;
    if (!isPausing) void this.#run(new Transfer(this.#options, from), from);
  }

  /** Nothing more is installed. */
  stop(): void {
    this.#transfer?.stop();
  }

  async #run(transfer: Transfer, from: NodeId): Promise<void> {
    this.#transfer = transfer;
    try {
      const why = await transfer.run();
      if (why === undefined) this.#failed = { from: "", count: 0, untilMs: 0 };
      else if (!transfer.isStopped) this.#brokenOff(from, why);
    } catch (error) {
      // A store that cannot be written, or was closed, has told so itself.
      if (!(error instanceof KvraftError)) throw error;
      this.#options.log(`The transfer of the state was broken off: ${error.message}`);
    } finally {
      this.#transfer = undefined;
    }
  }

  #brokenOff(from: NodeId, why: string): void {
    const { clock, log } = this.#options;
    const count = this.#failed.from === from ? this.#failed.count + 1 : 1;
    const pauseMs = Math.min(pauseMsMax, pauseMsMin * 2 ** (count - 1));
    this.#failed = { from, count, untilMs: clock.monotonicMs() + pauseMs };
    log(`The transfer of the state was broken off: ${why}; it begins again`);
  }
}

const replacedText = "its source does not answer, and another node offers it";

class Transfer {
  isStopped = false;
  readonly #options: SnapshotFetchOptions;
  readonly #from: NodeId;
  #install: Install | undefined;
  #receivedBytes = 0;
  #waitingBytes = 0;
  #crc = 0;
  #toldAtMs: number;
  /** Wakes up who waits for the store's worker. */
  #wake: () => void = () => {};
  #isInstalled = false;
  /** When what is asked now was asked for the first time; undefined while nothing is. */
  #askedAtMs: number | undefined;
  /** The longest time that an answer took so far. */
  #slowestMs = 0;
  /** Ends the wait for the answer that is outstanding. */
  #giveUp: (result: CallResult) => void = () => {};
  /** Nothing could be sent to the source when it was asked last, or its connection ended. */
  #isGone = false;
  /** Another node is to be asked instead. */
  #isReplaced = false;
  #refusal: KvraftError | undefined;

  constructor(options: SnapshotFetchOptions, from: NodeId) {
    this.#options = options;
    this.#from = from;
    this.#toldAtMs = options.clock.monotonicMs();
  }

  stop(): void {
    this.isStopped = true;
    if (this.#install?.isFinishing === false) this.#install.abandon();
    this.#wake();
  }

  /** Another node leads and offers the state: it is asked instead when the source is silent. */
  replaceBy(from: NodeId): void {
    const { clock, silentMs } = this.#options;
    if (from === this.#from || this.#isReplaced || this.#askedAtMs === undefined) return;
    const waitedMs = clock.monotonicMs() - this.#askedAtMs;
    // A source that is gone does not become slower.
    const patienceMs = this.#isGone ? silentMs : Math.max(silentMs, slowPieces * this.#slowestMs);
    if (waitedMs < patienceMs) return;
    this.#isReplaced = true;
    this.#giveUp({ ok: false, reason: "unreachable", wasSent: true, text: replacedText });
  }

  /** Resolves with why nothing came of it; undefined when it is done or not needed. */
  async run(): Promise<string | undefined> {
    const { driver, store, log } = this.#options;
    const head = await this.#ask(method.openSnapshot, (body) => body.u8(0), decodeSnapshotHead);
    if (typeof head === "string") return head;
    if (this.isStopped || head.index <= driver.applied.index) return undefined;
    log(`Fetching the state after entry ${head.index}, about ${head.bytes} bytes, from ${this.#from}`);
    this.#install = store.beginInstall({
      consumed: (bytes) => this.#consumed(bytes),
      installed: () => this.#installed(),
      refused: (error) => this.#refused(error),
    });
    try {
      const why = await this.#receive(head);
      return why ?? (await this.#finish(head));
    } finally {
      if (!this.isStopped && !this.#install.isFinishing) this.#install.abandon();
    }
  }

  /** Takes all pieces. Resolves with why that did not work. */
  async #receive(head: SnapshotHead): Promise<string | undefined> {
    for (let number = 0; ; number++) {
      const piece = await this.#piece(head.token, number);
      if (typeof piece === "string") return piece;
      if (piece.rows.length > 0) {
        this.#crc = crc32(piece.rows, this.#crc);
        this.#receivedBytes += piece.rows.length;
        this.#waitingBytes += piece.rows.length;
        this.#install!.add(piece.rows);
      }
      if (piece.end !== undefined)
        return piece.end.crc === this.#crc ? undefined : "its checksum is not that of what arrived";
      this.#tell(head);
      await this.#until(() => this.#waitingBytes < snapshotPiecesAheadMax * snapshotPieceBytes);
      const why = this.#whyOver();
      if (why !== undefined) return why;
    }
  }

  async #finish(head: SnapshotHead): Promise<string | undefined> {
    const { driver, store, log } = this.#options;
    await this.#until(() => this.#waitingBytes === 0);
    const why = this.#whyOver();
    if (why !== undefined) return why;
    if (head.revision < store.sequence)
      return `its revision is ${head.revision}, and this node's, which is older, has ${store.sequence}`;
    // Meanwhile the log may have led there by itself.
    if (!driver.beginRestore(head.index)) return undefined;
    this.#install!.finish({
      sequence: head.revision,
      applied: { index: head.index, term: head.term },
    });
    await this.#until(() => this.#isInstalled);
    if (this.#isInstalled)
      log(`The state after entry ${head.index} is there: ${this.#receivedBytes} bytes of rows`);
    return this.#whyOver();
  }

  /** Asks until there is an answer or the snapshot cannot be there any more. */
  async #piece(token: number, number: number): Promise<SnapshotPiece | string> {
    const { clock } = this.#options;
    const untilMs = clock.monotonicMs() + snapshotIdleMsMax;
    for (;;) {
      const write = (body: ByteWriter): void => {
        body.varint(token);
        body.varint(number);
      };
      const piece = await this.#ask(method.readSnapshot, write, decodeSnapshotPiece, true);
      if (piece !== undefined) return piece;
      if (this.#isReplaced) return replacedText;
      if (this.isStopped || clock.monotonicMs() > untilMs) return "its source cannot be reached";
      await new Promise<void>((resolve) => clock.after(retryMs, resolve));
    }
  }

  /** Undefined when nobody answered; a text when the answer was no. */
  async #ask<T>(
    number: number,
    write: (body: ByteWriter) => void,
    decode: (reader: ByteReader) => T,
    isRetried: true,
  ): Promise<T | string | undefined>;
  async #ask<T>(
    number: number,
    write: (body: ByteWriter) => void,
    decode: (reader: ByteReader) => T,
  ): Promise<T | string>;
  async #ask<T>(
    number: number,
    write: (body: ByteWriter) => void,
    decode: (reader: ByteReader) => T,
    isRetried = false,
  ): Promise<T | string | undefined> {
    const encode = (body: ByteWriter): void => {
      encodeRequestHead(body, snapshotPieceMsMax);
      write(body);
    };
    const { clock, call } = this.#options;
    this.#askedAtMs ??= clock.monotonicMs();
    const result = await new Promise<CallResult>((resolve, reject) => {
      this.#giveUp = resolve;
      call(this.#from, number, encode, snapshotPieceMsMax).then(resolve, reject);
    });
    this.#isGone = !result.ok;
    if (!result.ok) return isRetried ? undefined : result.text;
    this.#slowestMs = Math.max(this.#slowestMs, clock.monotonicMs() - this.#askedAtMs);
    this.#askedAtMs = undefined;
    try {
      const reader = new ByteReader(result.body);
      if (statusOf(reader.u8()) !== "OK") return decodeRefusal(reader).text;
      decodeAnswerHead(reader);
      return decode(reader);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return `the answer cannot be read: ${error.message}`;
    }
  }

  #whyOver(): string | undefined {
    return this.isStopped ? "this node stops" : this.#refusal?.message;
  }

  #consumed(bytes: number): void {
    this.#waitingBytes -= bytes;
    this.#wake();
  }

  #installed(): void {
    this.#isInstalled = true;
    this.#options.restored();
    this.#wake();
  }

  #refused(error: KvraftError): void {
    this.#refusal = error;
    this.#options.driver.abandonRestore();
    this.#wake();
  }

  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo() && !this.isStopped && this.#refusal === undefined)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
  }

  #tell(head: SnapshotHead): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#toldAtMs < tellEveryMs) return;
    this.#toldAtMs = nowMs;
    const percent = Math.min(99, Math.floor((100 * this.#receivedBytes) / Math.max(1, head.bytes)));
    this.#options.log(`Fetched ${this.#receivedBytes} bytes of the state, about ${percent} %`);
  }
}
