import type { Socket, SocketHandler } from "../../src/env/net.ts";
import type { Prng } from "../../src/env/prng.ts";
import { type Bytes, concatBytes, emptyBytes } from "../../src/lib/bytes.ts";
import { readU32 } from "../../src/lib/codec.ts";
import { frameKind } from "../../src/rpc/frame.ts";
import { frameHeaderBytes } from "../../src/rpc/limits.ts";
import type { SimProcess } from "./sim-process.ts";
import type { SimEvent, Timeline } from "./timeline.ts";

/** What the network does to what it carries. May be changed while things are on their way. */
export interface NetWeather {
  /** One way, per delivery. */
  latencyMsMin: number;
  latencyMsMax: number;
  /** Frames that vanish. */
  lossPerMille: number;
  /** Frames, no requests, that arrive twice, the second one later. */
  duplicatePerMille: number;
  /** Frames that are held back and overtaken by those behind them. */
  delayPerMille: number;
  delayMsMax: number;
  /** Deliveries come in pieces of random size, and writes take only a part at times. */
  isChopped: boolean;
}

/** What has happened so far: frames, except for `held` (writes that waited for a heal) and `resets` (sides that were told). */
export interface NetCounts {
  delivered: number;
  lost: number;
  duplicated: number;
  delayed: number;
  held: number;
  resets: number;
}

/** What all connections of a network share. One stream of chance per kind of fault, so that one does not reshuffle the rest. */
export class Sky {
  readonly timeline: Timeline;
  readonly weather: NetWeather;
  readonly counts: NetCounts = { delivered: 0, lost: 0, duplicated: 0, delayed: 0, held: 0, resets: 0 };
  readonly loss: Prng;
  readonly duplicate: Prng;
  readonly delay: Prng;
  readonly chop: Prng;
  readonly #latency: Prng;

  constructor(timeline: Timeline, prng: Prng, weather: NetWeather) {
    this.timeline = timeline;
    this.weather = weather;
    this.#latency = prng.fork();
    this.loss = prng.fork();
    this.duplicate = prng.fork();
    this.delay = prng.fork();
    this.chop = prng.fork();
  }

  latencyMs(): number {
    return between(this.#latency, this.weather.latencyMsMin, this.weather.latencyMsMax);
  }
}

/** A machine, as far as the network knows it. */
export interface NetMachine {
  readonly name: string;
  /** Without power: it answers nothing, not even that nobody listens. */
  isDown: boolean;
}

/** The way from one machine to another. */
export class Link {
  readonly from: NetMachine;
  readonly to: NetMachine;
  clogMs = 0;
  #mode: "open" | "hold" | "drop" = "open";
  /** What left before this moment was on its way during a cut, and is lost. */
  #droppedUntil = 0;
  #waiting: (() => void)[] = [];
  readonly #sky: Sky;

  constructor(sky: Sky, from: NetMachine, to: NetMachine) {
    this.#sky = sky;
    this.from = from;
    this.to = to;
  }

  get mode(): "open" | "hold" | "drop" {
    return this.#mode;
  }

  /** Those who waited look at what is so now, in the order in which they came. */
  set mode(mode: "open" | "hold" | "drop") {
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
    return this.#mode === "drop" || stamp < this.#droppedUntil;
  }

  arrivalMs(sentMs: number): number {
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

  write(bytes: Bytes): number {
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
  /** Written and not arrived. */
  inFlightBytes = 0;
  readonly #sky: Sky;
  readonly link: Link;
  readonly #sender: SimSocket;
  readonly #queue: Item[] = [];
  #lastArriveMs = 0;
  #event: SimEvent | undefined = undefined;
  #isWaiting = false;
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
    this.#queue.length = 0;
    this.inFlightBytes = 0;
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
    else if (first !== undefined) atMs = first.arriveMs;
    else return;
    this.#event = timeline.at(atMs, receiver.isGone ? undefined : receiver.process, this.#arrive);
  }

  readonly #arrive = (): void => {
    this.#event = undefined;
    if (this.#sender.peer.isGone) this.#drop();
    if (this.#mustWait()) return this.#wait();
    if (this.#rest.length > 0) return this.#handOn(this.#rest);
    const item = this.#queue.shift();
    if (item === undefined) return;
    if (item.bytes.length > 0) {
      this.inFlightBytes -= item.bytes.length;
      this.#sender.roomAgain(this.#sky.timeline.nowMs);
    }
    this.#take(item);
  };

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
    if (mode === "drop") this.#sky.counts.lost++;
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

/**
 * Follows the frames of a byte stream and decides what becomes of each. Only requests, replies and messages are subject to the
 * weather; a cut takes any. A claim of more than a frame can hold makes the stream raw from there on.
 */
class FrameSorter {
  isRaw = false;
  readonly #sky: Sky;
  readonly #late: (frame: Bytes, lateMs: number) => void;
  /** Bytes of the current frame that have yet to arrive. */
  #left = 0;
  /** Whether the current frame is handed on in its place. */
  #isPassed = true;
  /** The current frame as it will arrive later. */
  #copy: Bytes | undefined = undefined;
  #copied = 0;
  #lateMs = 0;
  /** The start of a header. */
  #head: Bytes = emptyBytes;

  constructor(sky: Sky, late: (frame: Bytes, lateMs: number) => void) {
    this.#sky = sky;
    this.#late = late;
  }

  /** Whether what was handed on ends in the middle of a frame. */
  get isInside(): boolean {
    return this.#left > 0 && this.#isPassed;
  }

  get hasHead(): boolean {
    return this.#head.length > 0;
  }

  /** The bytes of a header that will not become whole. */
  takeHead(): Bytes {
    const head = this.#head;
    this.#head = emptyBytes;
    return head;
  }

  /** Returns what of these bytes is handed on in order. */
  take(arrived: Bytes, isLost: boolean): Bytes {
    if (this.isRaw) return isLost ? emptyBytes : arrived;
    const bytes = this.#head.length === 0 ? arrived : concatBytes([this.takeHead(), arrived]);
    const kept: Bytes[] = [];
    let keptFrom = 0;
    let at = 0;
    while (at < bytes.length) {
      if (this.#left === 0) {
        if (bytes.length - at < frameHeaderBytes) break;
        if (!this.#begin(bytes, at, isLost)) at = bytes.length;
      }
      const count = Math.min(this.#left, bytes.length - at);
      this.#keepCopy(bytes, at, count);
      this.#left -= count;
      if (!this.#isPassed && count > 0) {
        if (at > keptFrom) kept.push(bytes.subarray(keptFrom, at));
        keptFrom = at + count;
      }
      at += count;
    }
    if (at < bytes.length) this.#head = bytes.slice(at);
    if (kept.length === 0 && keptFrom === 0 && at === bytes.length) return bytes;
    if (at > keptFrom) kept.push(bytes.subarray(keptFrom, at));
    return kept.length === 1 ? kept[0]! : concatBytes(kept);
  }

  /** Decides on the frame whose header stands at `at`; false when the stream is raw from here on. */
  #begin(bytes: Bytes, at: number, isLost: boolean): boolean {
    const length = readU32(bytes, at);
    this.#copy = undefined;
    this.#isPassed = !isLost;
    if (length > rawBytesMin) {
      this.isRaw = true;
      return false;
    }
    this.#left = frameHeaderBytes + length;
    const kind = bytes[at + 8];
    const isSubject = kind === frameKind.request || kind === frameKind.reply || kind === frameKind.message;
    if (isSubject && !isLost) this.#meetWeather(kind !== frameKind.request);
    if (this.#isPassed) this.#sky.counts.delivered++;
    else if (this.#copy === undefined) this.#sky.counts.lost++;
    return true;
  }

  /** A client relies on TCP in that a request it has sent once is handled once: none of those is doubled. */
  #meetWeather(mayBeDoubled: boolean): void {
    const { weather, counts, loss, delay, duplicate } = this.#sky;
    const isLost = isHit(loss, weather.lossPerMille);
    const isDelayed = isHit(delay, weather.delayPerMille);
    const isDoubled = mayBeDoubled && isHit(duplicate, weather.duplicatePerMille);
    if (isLost) this.#isPassed = false;
    else if (isDelayed) {
      counts.delayed++;
      this.#isPassed = false;
      this.#copyLater(between(delay, 0, weather.delayMsMax));
    } else if (isDoubled) {
      counts.duplicated++;
      this.#copyLater(between(duplicate, 0, Math.max(weather.delayMsMax, weather.latencyMsMax)));
    }
  }

  #copyLater(lateMs: number): void {
    this.#copy = new Uint8Array(this.#left);
    this.#copied = 0;
    this.#lateMs = lateMs;
  }

  #keepCopy(bytes: Bytes, at: number, count: number): void {
    const copy = this.#copy;
    if (copy === undefined || count === 0) return;
    copy.set(bytes.subarray(at, at + count), this.#copied);
    this.#copied += count;
    if (this.#copied < copy.length) return;
    this.#copy = undefined;
    this.#late(copy, this.#lateMs);
  }
}

/** Bytes that one direction holds, as the buffers of the two systems would. */
const capacityBytes = 256 * 1024;

/** A body that claims more than this is none. */
const rawBytesMin = 64 * 1024 * 1024;

/** Between the pieces of one delivery. */
const pieceGapMsMax = 1;

const closedText = "the connection is closed";
const resetText = "the other side reset the connection";

function isHit(prng: Prng, perMille: number): boolean {
  return perMille > 0 && prng.chance(perMille, 1000);
}

/** A moment between two others; draws nothing when there is no choice. */
function between(prng: Prng, min: number, max: number): number {
  return max > min ? min + ((max - min) * prng.u32()) / 0x1_0000_0000 : min;
}
