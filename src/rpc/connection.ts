import type { Clock, Timer } from "../env/clock.ts";
import type { Socket, SocketHandler } from "../env/net.ts";
import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import { ByteWriter, DecodeError } from "../lib/codec.ts";
import { beginFrame, endFrame, type Frame, type FrameKind, FrameParser, frameKind } from "./frame.ts";
import type { HeldBytes } from "./held-bytes.ts";
import type { Hello } from "./hello.ts";
import {
  closeGraceMs,
  frameBodyBytesMax,
  frameHeaderBytes,
  halfOpenMs,
  helloBytesMax,
  outputBytesMax,
  outputKeptBytesMax,
  signBytesMin,
  signEveryMs,
  unreadBytesMax,
  unreadChunksMax,
} from "./limits.ts";
import { methodName } from "./method.ts";
import type { ReadTurns } from "./read-turns.ts";

/**
 * Why a connection is gone.
 * - `closed`   we closed it, and every byte was handed over
 * - `ended`    the other side ended it between frames
 * - `lost`     it broke, or stood still while it was closing
 * - `protocol` the other side sent what is no frame, or no valid one
 * - `full`     the other side does not read what it asked for
 * - `refused`  the hello was refused
 */
export interface Closing {
  readonly cause: "closed" | "ended" | "lost" | "protocol" | "full" | "refused";
  /** For people; no capital, no full stop. */
  readonly text: string;
}

/** What a connection tells. Never from inside a call to the connection. */
export interface ConnectionOwner<Context> {
  /**
   * A frame arrived; it is valid until this returns (see Frame). A DecodeError thrown from here closes the connection
   * with cause `protocol`: decode everything before anything is done with it.
   */
  frame(connection: Connection<Context>, frame: Frame): void;
  /** Something arrived on a connection that was marked as silent, which it is no more. */
  spoke?(connection: Connection<Context>): void;
  /** Exactly once, and last. */
  closed(connection: Connection<Context>, closing: Closing): void;
}

export interface ConnectionOptions {
  /**
   * `accepted`: a full queue cuts the other side off; when the other side has ended, replies to its last requests
   * still leave. `dialled`: a full queue is told by `begin`; when the other side has ended, nothing can come of it.
   */
  readonly side: "accepted" | "dialled";
  readonly outputBytesMax?: number;
  readonly closeGraceMs?: number;
  readonly halfOpenMs?: number;
}

/**
 * Frames over a socket. Outgoing frames are encoded into one buffer and leave together when the owner calls `flush`,
 * once per turn of the event loop. What the socket does not take stays and leaves when there is room.
 */
export class Connection<Context = unknown> implements SocketHandler {
  /** For the owner's use; undefined at first. */
  context: Context | undefined = undefined;
  /** What the other side said of itself; undefined before, and on dialled connections. */
  hello: Hello | undefined = undefined;
  owner: ConnectionOwner<Context>;
  /** `host:port` of the other side. */
  readonly remote: string;

  readonly #clock: Clock;
  readonly #socket: Socket;
  readonly #options: Required<ConnectionOptions>;
  readonly #parser = new FrameParser(helloBytesMax);
  #isEstablished = false;
  /** open -> closing (the queue drains) -> finished (our side has ended) -> gone. */
  #state: "open" | "closing" | "finished" | "gone" = "open";
  #closing: Closing | undefined = undefined;
  #timer: Timer | undefined = undefined;
  /** The other side will send nothing more. */
  #isPeerEnded = false;
  /** Requests that arrived and have no reply yet; none once the other side has said goodbye. */
  #openRequests = 0;

  /** What frames are encoded into. */
  #output = new ByteWriter(initialBytes);
  /** What is being sent, unchanged until all of it is; then the two swap. So no byte is moved to make room. */
  #sending = new ByteWriter(initialBytes);
  /** How much of `#sending` the socket has taken. */
  #sent = 0;
  /** The socket took less than all: `drain` goes on. */
  #isBlocked = false;
  /** Where the frame begins that is being encoded; -1 between frames. */
  #frameStart = -1;
  #isReply = false;
  /** Bytes the socket has taken since the connection opened. */
  #takenBytes = 0;
  /** Where this connection's memory is counted, and what was told there last. */
  #held: HeldBytes | undefined = undefined;
  #toldBytes = 0;
  /** Set where input is looked at in turns. Chunks that wait for the next one, and whether that of the parser does. */
  #turns: ReadTurns | undefined = undefined;
  #unread: Bytes[] = [];
  #unreadBytes = 0;
  #isInLine = false;
  #isPaused = false;
  /** Frames that have arrived. */
  #frameCount = 0;
  /** At the last look: bytes of the frame that had begun, and frames before it. */
  #seen = { bytes: 0, frames: 0 };

  /** Something came from the other side, be it that it made room, since this was looked at last. */
  #hasHeard = false;
  #isSilent = false;
  #owesPong = false;
  #signedAtMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, socket: Socket, owner: ConnectionOwner<Context>, options: ConnectionOptions) {
    this.#clock = clock;
    this.#socket = socket;
    this.owner = owner;
    this.remote = socket.remote;
    this.#options = { outputBytesMax, closeGraceMs, halfOpenMs, ...options };
  }

  /** False once closing began: then `begin` refuses, and frames that arrive are dropped. */
  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Bytes of frames that the socket has not taken yet. */
  get queuedBytes(): number {
    return this.#sending.length - this.#sent + this.#output.length;
  }

  /** Requests that have no reply yet. */
  get openRequests(): number {
    return this.#openRequests;
  }

  /** Memory of a frame that has not arrived whole, and of frames that wait to leave. */
  get heldBytes(): number {
    return (
      this.#parser.heldBytes +
      this.#parser.unreadBytes +
      this.#unreadBytes +
      this.#output.capacity +
      this.#sending.capacity
    );
  }

  /** From now on what this connection holds is counted there, and its input is looked at in these turns. */
  countIn(held: HeldBytes, turns?: ReadTurns): void {
    this.#held = held;
    this.#turns = turns;
    held.add(this);
    this.#count();
  }

  /**
   * Looked at every so often: cuts off whoever has begun a frame and sent less than `bytesMin` of it since the last look.
   * Whoever is slow and honest sends more, and a frame that ends in between is looked at anew.
   */
  checkProgress(bytesMin: number): void {
    const { partialBytes: bytes } = this.#parser;
    const { bytes: before, frames } = this.#seen;
    this.#seen = { bytes, frames: this.#frameCount };
    const isSame = before > 0 && frames === this.#frameCount && !this.#isInLine;
    if (this.#state === "open" && isSame && bytes - before < bytesMin)
      this.terminate({ cause: "protocol", text: `a frame stands still after ${bytes} bytes` });
  }

  /** Whether another frame may begin. */
  get hasRoom(): boolean {
    return this.#state === "open" && this.queuedBytes < this.#options.outputBytesMax;
  }

  /** Whether anything came from the other side since the last call. */
  takeHeard(): boolean {
    const hasHeard = this.#hasHeard;
    this.#hasHeard = false;
    return hasHeard;
  }

  /** Marked by its owner, until something arrives. */
  get isSilent(): boolean {
    return this.#isSilent;
  }

  markSilent(): void {
    this.#isSilent = true;
  }

  /**
   * Asks the other side for a sign of life. Not while bytes wait for the socket: that there is room for them will be the
   * sign; and not when the other side has ended, and can give none.
   */
  ping(): void {
    if (this.#isEstablished && !this.#isPeerEnded) this.#sendEmpty(frameKind.ping);
  }

  /** Whether `flush` has something to do. */
  get needsFlush(): boolean {
    return this.#output.length > 0 && !this.#isBlocked;
  }

  /** The place in the outgoing stream where the next frame will begin. */
  get outgoingOffset(): number {
    return this.#takenBytes + this.queuedBytes;
  }

  /** Whether the socket took any byte from this place of the outgoing stream on. */
  hasTaken(offset: number): boolean {
    return this.#takenBytes > offset;
  }

  /**
   * Begins a frame, whose body is what is then appended to the writer; `end` completes it. Undefined, and nothing
   * begun, when the connection is closing or its queue is full; an accepted connection is cut off when it is full.
   */
  begin(kind: FrameKind, method: number, requestId: number): ByteWriter | undefined {
    assert(this.#frameStart < 0, "a frame begins after the last one ended");
    if (this.#state !== "open") return undefined;
    if (this.queuedBytes >= this.#options.outputBytesMax) {
      if (this.#options.side === "accepted")
        this.terminate({ cause: "full", text: `${this.queuedBytes} bytes wait to be read` });
      return undefined;
    }
    this.#isReply = kind === frameKind.reply;
    this.#frameStart = beginFrame(this.#output, kind, method, requestId);
    return this.#output;
  }

  /** Completes the frame: it will be sent, unless the connection is lost. */
  end(): void {
    assert(this.#frameStart >= 0, "a frame ends after it began");
    const length = this.#output.length - this.#frameStart - frameHeaderBytes;
    assert(length <= frameBodyBytesMax, "the body of a frame is at most frameBodyBytesMax bytes long");
    endFrame(this.#output, this.#frameStart);
    this.#frameStart = -1;
    // Else it is counted when it leaves.
    if (this.#isBlocked) this.#count();
    if (this.#isReply && this.#openRequests > 0) this.#openRequests--;
    if (this.#isPeerEnded && this.#openRequests === 0) this.close(endedText, "ended");
  }

  /** Drops the frame that was begun. */
  cancel(): void {
    assert(this.#frameStart >= 0, "a frame is cancelled after it began");
    const before = this.#output.view().slice(0, this.#frameStart);
    this.#output.clear();
    this.#output.raw(before);
    this.#frameStart = -1;
  }

  /** Hands all that was encoded to the socket, in one write. */
  flush(): void {
    if (!this.#isBlocked && (this.#state === "open" || this.#state === "closing")) this.#pump();
  }

  /** The hello was accepted: large frames may come from now on. */
  establish(): void {
    this.#isEstablished = true;
    this.#parser.bodyBytesMax = frameBodyBytesMax;
  }

  /**
   * Sends what is queued, ends our side, and waits until the other side ends too; cuts the connection when it stands
   * still for closeGraceMs. Idempotent.
   */
  close(text: string, cause: "closed" | "ended" | "refused" = "closed"): void {
    if (this.#state !== "open") return;
    assert(this.#frameStart < 0, "a connection closes between frames");
    // So that the other side, when it sees our end, need not answer what is open.
    if (this.#options.side === "dialled" && this.#isEstablished)
      endFrame(this.#output, beginFrame(this.#output, frameKind.goodbye, 0, 0));
    this.#state = "closing";
    this.#closing = { cause, text };
    this.#watchStandstill();
    this.flush();
  }

  /** Drops the connection at once, with whatever is queued. Idempotent; `closed` is told in a later turn. */
  terminate(closing: Closing): void {
    if (this.#state === "gone") return;
    this.#gone();
    this.#socket.terminate();
    this.#clock.soon(() => this.owner.closed(this, closing));
  }

  // What the socket tells.

  data(bytes: Bytes): void {
    this.#hasHeard = true;
    if (this.#isSilent) this.#speaksAgain();
    // While we close, what arrives is read and dropped: unread, it would reset the connection and kill what is queued.
    if (this.#state !== "open") return;
    if (this.#turns === undefined) return this.#read(bytes);
    if (!this.#isInLine && !this.#turns.hasLine && this.#turns.take(bytes.length)) return this.#read(bytes);
    this.#unread.push(bytes);
    this.#unreadBytes += bytes.length;
    this.#count();
    this.#lineUp();
  }

  /** Our turn to read what had to wait. */
  readOn(): void {
    this.#isInLine = false;
    if (this.#parser.unreadBytes > 0 && this.isOpen) this.#parse();
    while (this.isOpen && !this.#isInLine && this.#unread.length > 0) {
      if (!this.#turns!.take(this.#unread[0]!.length)) return this.#lineUp();
      const bytes = this.#unread.shift()!;
      this.#unreadBytes -= bytes.length;
      this.#read(bytes);
    }
    if (this.#state === "gone" || this.#isInLine) return;
    // Also while we close: unread input would reset the connection.
    if (this.#isPaused) this.#socket.resume?.();
    this.#isPaused = false;
    if (this.#isPeerEnded) this.ended();
  }

  #lineUp(): void {
    const unreadBytes = this.#parser.unreadBytes + this.#unreadBytes;
    // To stop a socket and start it again takes two calls of the system, more than a small request.
    const isMuch = unreadBytes >= unreadBytesMax || this.#unread.length >= unreadChunksMax;
    if (isMuch && !this.#isPaused) {
      this.#isPaused = true;
      this.#socket.pause?.();
    }
    if (this.#isInLine) return;
    this.#isInLine = true;
    this.#turns!.lineUp(this);
  }

  #read(bytes: Bytes): void {
    this.#parser.feed(bytes);
    this.#parse();
  }

  #parse(): void {
    let untilLook = framesPerLook;
    try {
      for (let frame = this.#parser.next(); frame !== undefined; frame = this.#parser.next()) {
        this.#dispatch(frame);
        if (!this.isOpen) return;
        if (this.#turns === undefined || --untilLook > 0) continue;
        untilLook = framesPerLook;
        if (!this.#turns.hasLine && this.#turns.mayGoOn()) continue;
        this.#lineUp();
        break;
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.terminate({ cause: "protocol", text: error.message });
    }
    if (this.#parser.error !== undefined) this.terminate({ cause: "protocol", text: this.#parser.error });
    else {
      this.#count();
      if (this.#owesPong || this.#isSignDue) this.#sign();
    }
  }

  drain(): void {
    this.#hasHeard = true;
    this.#isBlocked = false;
    if (this.#state === "closing") this.#watchStandstill();
    this.flush();
  }

  ended(): void {
    this.#isPeerEnded = true;
    // Once what came before was read.
    if (this.#state !== "open" || this.#isInLine) return;
    if (this.#parser.partialBytes > 0)
      this.terminate({
        cause: "protocol",
        text: `the other side ended ${this.#parser.partialBytes} bytes into a frame`,
      });
    else if (this.#options.side === "dialled") this.terminate({ cause: "ended", text: endedText });
    else if (this.#openRequests === 0) this.close(endedText, "ended");
    else this.#startTimer(this.#options.halfOpenMs, () => this.close(endedText, "ended"));
  }

  closed(reason: string): void {
    if (this.#state === "gone") return;
    const isComplete = this.#state === "finished" && this.#closing !== undefined;
    const closing: Closing = isComplete ? this.#closing! : { cause: "lost", text: reason };
    this.#gone();
    this.owner.closed(this, closing);
  }

  #dispatch(frame: Frame): void {
    this.#frameCount++;
    const isHello = frame.kind === frameKind.hello || frame.kind === frameKind.helloReply;
    if (isHello && this.#isEstablished) throw new DecodeError("a hello arrived after the first one");
    if (frame.kind === frameKind.request) this.#openRequests++;
    if (frame.kind === frameKind.goodbye) {
      this.#openRequests = 0;
      return;
    }
    if (this.#isEstablished && (frame.kind === frameKind.ping || frame.kind === frameKind.pong)) {
      if (frame.kind === frameKind.ping) this.#owesPong = true;
      return;
    }
    try {
      this.owner.frame(this, frame);
    } catch (error) {
      if (!(error instanceof DecodeError) || !this.#isEstablished) throw error;
      throw new DecodeError(`${methodName(frame.method)} cannot be read: ${error.message}`, { cause: error });
    }
  }

  #speaksAgain(): void {
    this.#isSilent = false;
    this.owner.spoke?.(this);
  }

  /** A frame is arriving that takes so long that the other side may wonder whether we are there. */
  get #isSignDue(): boolean {
    if (!this.#isEstablished || this.#parser.partialBytes < signBytesMin) return false;
    return this.#clock.monotonicMs() - this.#signedAtMs >= signEveryMs;
  }

  #sign(): void {
    this.#owesPong = false;
    this.#signedAtMs = this.#clock.monotonicMs();
    this.#sendEmpty(frameKind.pong);
  }

  #sendEmpty(kind: FrameKind): void {
    if (this.#state !== "open" || this.#isBlocked) return;
    assert(this.#frameStart < 0, "a sign of life goes between frames");
    endFrame(this.#output, beginFrame(this.#output, kind, 0, 0));
    this.flush();
  }

  /** Writes until the socket is full or everything is sent. */
  #pump(): void {
    assert(this.#frameStart < 0, "a connection is flushed between frames");
    while (this.queuedBytes > 0) {
      if (this.#sent === this.#sending.length) this.#swap();
      const count = this.#socket.write(this.#sending.memory, this.#sent, this.#sending.length);
      if (count < 0) {
        this.#isBlocked = true; // For good: `closed` follows.
        return;
      }
      this.#sent += count;
      this.#takenBytes += count;
      if (this.#sent < this.#sending.length) {
        this.#isBlocked = true;
        this.#count();
        return;
      }
    }
    this.#sending = reset(this.#sending);
    this.#sent = 0;
    this.#count();
    if (this.#state === "closing") this.#finish();
  }

  #swap(): void {
    const empty = reset(this.#sending);
    this.#sending = this.#output;
    this.#output = empty;
    this.#sent = 0;
  }

  /** Everything was handed over: ends our side. */
  #finish(): void {
    this.#state = "finished";
    this.#watchStandstill();
    this.#socket.shutdown(); // When both sides have ended, the socket tells `closed`.
  }

  #watchStandstill(): void {
    this.#startTimer(this.#options.closeGraceMs, () =>
      this.terminate({
        cause: "lost",
        text: `it stood still for ${this.#options.closeGraceMs} ms while closing`,
      }),
    );
  }

  #startTimer(ms: number, run: () => void): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.after(ms, run);
  }

  #gone(): void {
    this.#state = "gone";
    this.#timer?.cancel();
    this.#frameStart = -1;
    this.#output = new ByteWriter(0);
    this.#sending = new ByteWriter(0);
    this.#sent = 0;
    this.#parser.drop();
    this.#unread = [];
    this.#unreadBytes = 0;
    this.#count();
    this.#held?.delete(this);
  }

  #count(): void {
    if (this.#held === undefined) return;
    const told = this.#toldBytes;
    this.#toldBytes = this.heldBytes;
    if (told !== this.#toldBytes) this.#held.changed(this.#toldBytes - told);
  }
}

const initialBytes = 1024;
/** Frames between two looks at whether the turn is over. */
const framesPerLook = 16;
const endedText = "the other side has ended";

/** An empty writer: the same one, unless it has grown large. */
function reset(writer: ByteWriter): ByteWriter {
  if (writer.length > outputKeptBytesMax) return new ByteWriter(initialBytes);
  writer.clear();
  return writer;
}
