import type { Socket, SocketHandler } from "../../src/env/net.ts";
import { type Bytes, emptyBytes } from "../../src/lib/bytes.ts";
import { FrameSorter } from "./frame-sorter.ts";
import { dataRetransmissionMs, dialRetransmissionMs, retransmissionMs } from "./retransmission.ts";
import type { SimProcess } from "./sim-process.ts";
import { between, type Sky } from "./sky.ts";
import type { SimEvent } from "./timeline.ts";

/** A machine, as far as the network knows it. */
export interface NetMachine {
  readonly name: string;
  /** Without power: it answers nothing, not even that nobody listens. */
  isDown: boolean;
}

/**
 * `hold` and `drop` are told in frames: all arrives at the heal, or nothing that was sent before it. `silent` is told in packets, as TCP meets
 * a network that drops all of them: neither side hears of it, what is written fills the buffer of the sender, and it arrives late.
 */
export type LinkMode = "open" | "hold" | "drop" | "silent";

/** The way from one machine to another. */
export class Link {
  readonly from: NetMachine;
  readonly to: NetMachine;
  clogMs = 0;
  /** How often something was held up, taken or late on it. */
  hindered = 0;
  #mode: LinkMode = "open";
  /** What left before this moment was on its way during a cut, and is lost. */
  #droppedUntil = 0;
  #waiting: (() => void)[] = [];
  readonly #sky: Sky;

  constructor(sky: Sky, from: NetMachine, to: NetMachine) {
    this.#sky = sky;
    this.from = from;
    this.to = to;
  }

  get mode(): LinkMode {
    return this.#mode;
  }

  /** Those who waited look at what is so now, in the order in which they came. */
  set mode(mode: LinkMode) {
    if (this.#mode === mode) return;
    if (this.#mode === "drop") this.#droppedUntil = this.#sky.timeline.stamp();
    this.#mode = mode;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Calls `wake` once when the link changes. */
  wait(wake: () => void): void {
    this.#waiting.push(wake);
  }

  /** Whether a cut takes what left at this stamp of the timeline. */
  takes(stamp: number): boolean {
    const isTaken = this.#mode === "drop" || stamp < this.#droppedUntil;
    if (isTaken) this.hindered++;
    return isTaken;
  }

  arrivalMs(sentMs: number): number {
    if (this.clogMs > 0) this.hindered++;
    return sentMs + this.#sky.latencyMs() + this.clogMs;
  }
}

/** Who dials, until the connection is open. */
export interface Dialler {
  /** Undefined when the dial was cancelled. */
  opened(socket: Socket): SocketHandler | undefined;
  failed(reason: string): void;
}

/** One side of a connection. Nothing is ever told from inside a call to it. */
export class SimSocket implements Socket {
  readonly remote: string;
  readonly process: SimProcess;
  /** What this side sends. */
  readonly out: Direction;
  /** Itself until `join`. */
  peer: SimSocket = this;
  handler: SocketHandler | undefined = undefined;
  /** Until the answer to its dial arrives. */
  dialler: Dialler | undefined = undefined;
  /** Terminated, closed, or dead with its process: nothing but `closed` is told any more. */
  isGone = false;
  /** The end of the other side has arrived. */
  isPeerEnded = false;
  #isShut = false;
  #mustDrain = false;
  readonly #sky: Sky;

  constructor(sky: Sky, process: SimProcess, link: Link, remote: string) {
    this.#sky = sky;
    this.process = process;
    this.remote = remote;
    this.out = new Direction(sky, link, this);
  }

  join(peer: SimSocket): void {
    this.peer = peer;
    peer.peer = this;
  }

  write(memory: Bytes, from = 0, to = memory.length): number {
    const bytes = memory.subarray(from, to);
    if (this.isGone || this.#isShut) return -1;
    const { weather, chop } = this.#sky;
    let count = Math.min(bytes.length, capacityBytes - this.out.inFlightBytes);
    if (weather.isChopped && count > 0 && chop.chance(1, 4)) count = chop.int(0, count);
    if (count > 0) this.out.push("data", bytes.slice(0, count), this.process.nowMs);
    if (count < bytes.length) {
      this.#mustDrain = true;
      if (this.out.inFlightBytes === 0) this.roomAgain(this.process.nowMs);
    }
    return count;
  }

  shutdown(): void {
    if (this.isGone || this.#isShut) return;
    this.#isShut = true;
    this.out.push("end", emptyBytes, this.process.nowMs);
    if (this.isPeerEnded) this.tellClosed(closedText);
  }

  terminate(): void {
    if (this.isGone) return;
    this.out.push("reset", emptyBytes, this.process.nowMs);
    this.tellClosed(closedText);
  }

  /** Some of what was in flight has arrived at `atMs`; that is known one latency later. */
  roomAgain(atMs: number): void {
    if (!this.#mustDrain || this.isGone) return;
    this.#mustDrain = false;
    this.#sky.timeline.at(atMs + this.#sky.weather.latencyMsMin, this.process, () => {
      if (!this.isGone && !this.#isShut) this.handler?.drain();
    });
  }

  /** The answer to the dial is here; runs in the dialler's process. */
  open(): void {
    const { dialler } = this;
    this.dialler = undefined;
    this.handler = dialler?.opened(this);
    if (this.handler !== undefined) return;
    this.isGone = true;
    this.out.push("reset", emptyBytes, this.process.nowMs);
  }

  /** The other side's end is here; runs in this side's process. */
  peerEnded(): void {
    this.isPeerEnded = true;
    if (this.#isShut) {
      this.isGone = true;
      this.handler?.closed(closedText);
    } else this.handler?.ended();
  }

  /** The connection is reset: this side is told, in a turn of its own. */
  reset(): void {
    if (this.isGone) return;
    this.#sky.counts.resets++;
    this.tellClosed(resetText);
  }

  /** It is gone, and is told so later. */
  tellClosed(reason: string): void {
    this.isGone = true;
    this.#sky.timeline.at(this.process.nowMs, this.process, () => {
      this.handler?.closed(reason);
      this.dialler?.failed(reason);
    });
  }

  /** The process died: nothing is told here. What it would have sent after its death never left. */
  died(how: "reset" | "silent"): void {
    this.isGone = true;
    this.out.cutShort(how);
    if (how === "reset") this.out.push("reset", emptyBytes, this.#sky.timeline.nowMs);
    this.peer.out.reschedule();
  }
}

interface Item {
  readonly kind: "open" | "data" | "end" | "reset";
  readonly bytes: Bytes;
  readonly sentMs: number;
  readonly arriveMs: number;
  readonly stamp: number;
}

/**
 * One direction of a connection: a queue in the order of sending. What arrives is handed on in that order, but for frames
 * that the weather takes out. A late frame is put between two others, never into the middle of one.
 */
export class Direction {
  /** Written and not acknowledged by the other system. */
  inFlightBytes = 0;
  readonly #sky: Sky;
  readonly link: Link;
  readonly #sender: SimSocket;
  readonly #queue: Item[] = [];
  #lastArriveMs = 0;
  #event: SimEvent | undefined = undefined;
  #isWaiting = false;
  /** When the first of what a silence took was sent, or of what arrived while no acknowledgement comes back. */
  #unackedSinceMs: number | undefined = undefined;
  /** Arrived while no acknowledgement comes back. */
  #unackedBytes = 0;
  /** After a silence: when the system sends again what it took. */
  #againMs = 0;
  readonly #frames: FrameSorter;
  /** Arrived in order, and kept back to come as a piece of its own. */
  #rest: Bytes = emptyBytes;
  /** Late frames that are due and wait for a gap between frames, or for a heal. */
  #due: Bytes[] = [];

  constructor(sky: Sky, link: Link, sender: SimSocket) {
    this.#sky = sky;
    this.link = link;
    this.#sender = sender;
    this.#frames = new FrameSorter(sky, (frame, lateMs) =>
      sky.timeline.after(lateMs, sender.peer.process, () => this.#arriveLate(frame)),
    );
  }

  /** Whether nothing is on its way. */
  get isIdle(): boolean {
    return this.#queue.length === 0;
  }

  /** The bytes belong to the direction from now on. */
  push(kind: Item["kind"], bytes: Bytes, sentMs: number): void {
    if (kind === "reset" && this.#isResetLost()) return;
    const arriveMs = Math.max(this.link.arrivalMs(sentMs), this.#lastArriveMs);
    this.#lastArriveMs = arriveMs;
    this.#queue.push({ kind, bytes, sentMs, arriveMs, stamp: this.#sky.timeline.stamp() });
    this.inFlightBytes += bytes.length;
    if (this.#isWaiting) this.#sky.counts.held++;
    this.#schedule();
  }

  /** The sender is dead: what it had yet to send is gone, and what waits for a heal too when its system is dead as well. */
  cutShort(how: "reset" | "silent"): void {
    const { nowMs } = this.#sky.timeline;
    const isLost = (item: Item) => item.sentMs > nowMs || (how === "silent" && this.#isWaiting);
    const left = this.#queue.filter((item) => !isLost(item));
    this.#queue.splice(0, this.#queue.length, ...left);
    this.#unackedBytes = 0;
    this.inFlightBytes = left.reduce((sum, item) => sum + item.bytes.length, 0);
    this.#lastArriveMs = left.at(-1)?.arriveMs ?? nowMs;
    this.reschedule();
  }

  /** After the receiver died: its events do not come any more, and what arrives finds nobody. */
  reschedule(): void {
    this.#event?.cancel();
    this.#event = undefined;
    this.#schedule();
  }

  /** Both sides are reset: nothing arrives any more. */
  clear(): void {
    this.#forget();
    this.#drop();
    this.reschedule();
  }

  #schedule(): void {
    if (this.#event !== undefined || this.#isWaiting) return;
    const receiver = this.#sender.peer;
    const [first] = this.#queue;
    const { timeline, chop } = this.#sky;
    let atMs: number;
    if (this.#rest.length > 0) atMs = timeline.nowMs + between(chop, 0, pieceGapMsMax);
    else if (first !== undefined) atMs = Math.max(first.arriveMs, this.#againMs);
    else return;
    this.#event = timeline.at(atMs, receiver.isGone ? undefined : receiver.process, this.#arrive);
  }

  readonly #arrive = (): void => {
    this.#event = undefined;
    if (this.#sender.peer.isGone) this.#drop();
    if (this.#mustWait()) return this.#wait();
    if (this.#rest.length > 0) return this.#handOn(this.#rest);
    if (this.#isSilenced()) return this.#waitForRetransmission();
    const item = this.#queue.shift();
    if (item === undefined) return;
    this.#unackedBytes += item.bytes.length;
    if (this.#back.mode === "silent") this.#missAcknowledgement(item.sentMs);
    else this.#acknowledge();
    this.#take(item);
  };

  /** The way of the acknowledgements. */
  get #back(): Link {
    return this.#sender.peer.out.link;
  }

  /** Whether a silence takes what comes next. Without acknowledgements a system soon sends nothing new any more. */
  #isSilenced(): boolean {
    const [item] = this.#queue;
    if (item === undefined) return false;
    if (this.link.mode === "silent") return true;
    const isOpening = item.kind === "open" || this.#unackedSinceMs === undefined;
    return (
      this.#back.mode === "silent" &&
      !isOpening &&
      item.sentMs >= this.#unackedSinceMs! + dataRetransmissionMs
    );
  }

  #waitForRetransmission(): void {
    const { kind, sentMs } = this.#queue[0]!;
    if (kind === "reset") return this.#forget();
    if (this.#unackedSinceMs === undefined) this.#sky.counts.silenced++;
    this.#unackedSinceMs ??= sentMs;
    this.#isWaiting = true;
    const silent = this.link.mode === "silent" ? this.link : this.#back;
    silent.hindered++;
    silent.wait(() => {
      this.#isWaiting = false;
      this.#againMs = this.#nextRetransmissionMs();
      this.#schedule();
    });
  }

  #nextRetransmissionMs(): number {
    const { nowMs } = this.#sky.timeline;
    const firstMs = this.#queue[0]?.kind === "open" ? dialRetransmissionMs : dataRetransmissionMs;
    return this.link.arrivalMs(retransmissionMs(this.#unackedSinceMs ?? nowMs, nowMs, firstMs));
  }

  /** It has arrived, and its sender does not know it: it is sent again until an acknowledgement comes back. */
  #missAcknowledgement(sentMs: number): void {
    if (this.#unackedSinceMs !== undefined) return;
    this.#sky.counts.silenced++;
    this.#back.hindered++;
    this.#unackedSinceMs = sentMs;
    const lookAgain = () => {
      const atMs = this.#nextRetransmissionMs();
      this.#sky.timeline.at(atMs, undefined, () => {
        if (this.#unackedSinceMs === undefined) return;
        const silent = [this.#back, this.link].find(({ mode }) => mode === "silent");
        if (silent !== undefined) return silent.wait(lookAgain);
        this.#acknowledge();
        if (this.#sender.peer.isGone) this.#answerForNobody();
      });
    };
    this.#back.wait(lookAgain);
  }

  #acknowledge(): void {
    if (this.#unackedSinceMs !== undefined) this.#sky.counts.retransmitted++;
    this.#unackedSinceMs = undefined;
    this.#againMs = 0;
    if (this.#unackedBytes === 0) return;
    this.inFlightBytes -= this.#unackedBytes;
    this.#unackedBytes = 0;
    this.#sender.roomAgain(this.#sky.timeline.nowMs);
  }

  /** A system that resets a connection keeps nothing of it, and says so once: whether a silence takes that. */
  #isResetLost(): boolean {
    if (this.link.mode !== "silent" && this.#unackedSinceMs === undefined) return false;
    this.#forget();
    this.#isWaiting = false;
    return this.link.mode === "silent";
  }

  /** Nothing is on its way any more. */
  #forget(): void {
    this.#queue.length = 0;
    this.inFlightBytes = 0;
    this.#unackedBytes = 0;
    this.#unackedSinceMs = undefined;
    this.#againMs = 0;
  }

  #mustWait(): boolean {
    const { mode } = this.link;
    if (mode !== "drop") return mode === "hold";
    const kind = this.#queue[0]?.kind;
    // The systems send these again until they arrive; and the rest of a frame, or the stream would break.
    return this.#isInsideFrame || kind === "open" || kind === "end";
  }

  #wait(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#sky.counts.held += this.#queue.length;
    this.link.hindered += this.#queue.length;
    this.link.wait(() => {
      this.#isWaiting = false;
      this.#schedule();
      this.#retryDue();
    });
  }

  #take(item: Item): void {
    const receiver = this.#sender.peer;
    const isLost = this.link.takes(item.stamp);
    if (receiver.isGone) {
      this.#schedule();
      if (item.kind !== "reset" && !isLost) this.#answerForNobody();
      return;
    }
    if (item.kind === "data") return this.#handOn(this.#frames.take(item.bytes, isLost));
    if (item.kind === "end" && this.#frames.hasHead) {
      this.#queue.unshift(item);
      return this.#handOn(this.#frames.takeHead());
    }
    this.#schedule();
    if (item.kind === "open") receiver.open();
    else if (item.kind === "end") {
      this.#drop();
      receiver.peerEnded();
    } else if (!isLost) {
      this.#drop();
      receiver.reset();
    }
  }

  /** The receiver's system tells the sender that there is no such connection; a machine without power does not. */
  #answerForNobody(): void {
    if (this.link.to.isDown || this.#sender.isGone) return;
    this.#sender.peer.out.push("reset", emptyBytes, this.#sky.timeline.nowMs);
  }

  #handOn(bytes: Bytes): void {
    const { weather, chop } = this.#sky;
    const isCut = weather.isChopped && bytes.length > 1 && chop.chance(1, 2);
    const piece = isCut ? bytes.subarray(0, chop.int(1, bytes.length - 1)) : bytes;
    this.#rest = isCut ? bytes.subarray(piece.length) : emptyBytes;
    this.#schedule();
    this.#retryDue();
    if (piece.length > 0) this.#sender.peer.handler?.data(piece);
  }

  get #isInsideFrame(): boolean {
    return this.#rest.length > 0 || this.#frames.isInside;
  }

  #arriveLate(frame: Bytes): void {
    const receiver = this.#sender.peer;
    if (receiver.isGone || receiver.isPeerEnded || this.#frames.isRaw) return;
    const { mode } = this.link;
    if (mode === "drop" || mode === "silent") this.#sky.counts.lost++;
    else if (mode === "hold" || this.#isInsideFrame) {
      this.#due.push(frame);
      if (mode === "hold") this.#wait();
    } else {
      this.#sky.counts.delivered++;
      receiver.handler?.data(frame);
    }
  }

  #retryDue(): void {
    if (this.#due.length === 0 || this.#isInsideFrame) return;
    const { timeline } = this.#sky;
    for (const frame of this.#due.splice(0))
      timeline.at(timeline.nowMs, this.#sender.peer.process, () => this.#arriveLate(frame));
  }

  #drop(): void {
    this.#rest = emptyBytes;
    this.#due = [];
  }
}

/** Bytes that one direction holds, as the buffers of the two systems would. */
const capacityBytes = 256 * 1024;

/** Between the pieces of one delivery. */
const pieceGapMsMax = 1;

const closedText = "the connection is closed";
const resetText = "the other side reset the connection";
