import type { Disk, DiskFile } from "../env/disk.ts";
import { assert } from "../lib/assert.ts";
import type { Bytes } from "../lib/bytes.ts";
import type { LogOptions } from "./options.ts";

/** What is filled ahead in a segment that holds next to nothing yet. */
const firstAheadBytes = 256 * 1024;

type Done = (error?: Error) => void;

/** Shared by all logs of a process, and as long as the largest fill that was asked for. */
let zeros: Bytes = new Uint8Array(0);

function zerosOf(length: number): Bytes {
  if (zeros.length < length) zeros = new Uint8Array(length);
  return zeros.subarray(0, length);
}

/**
 * The end of the newest segment. Groups go into space that was filled with zeros before, because a write that changes
 * no file size is synced in half the time. Nothing but those zeros is ever overwritten: a group that would run into a
 * fill under way waits for it.
 *
 *     header, groups | zeros, durable | zeros being written |
 *                 #position        #filledTo            #fillingTo
 */
export class SegmentAppender {
  readonly #file: DiskFile;
  readonly #options: LogOptions;
  /** Told of a fill that failed: the file may not be believed from then on. */
  readonly #failed: (error: Error) => void;
  /** Where the next group goes. */
  #position: number;
  #filledTo: number;
  /** Undefined while no fill is under way. */
  #fillingTo: number | undefined;
  #waiting: { bytes: Bytes; done: Done } | undefined;
  #isClosed = false;

  constructor(
    disk: Disk,
    path: string,
    position: number,
    options: LogOptions,
    failed: (error: Error) => void,
  ) {
    this.#file = disk.open(path, "write");
    this.#position = position;
    this.#filledTo = position;
    this.#options = options;
    this.#failed = failed;
  }

  get position(): number {
    return this.#position;
  }

  /** The length of the file, as far as it is known to be written. */
  get fileBytes(): number {
    return Math.max(this.#position, this.#filledTo);
  }

  /** Appends a group; it is durable when `done` runs without an error. One at a time; `bytes` is left alone until then. */
  append(bytes: Bytes, done: Done): void {
    assert(!this.#isClosed, "a segment is closed after its last group");
    if (this.#fillingTo !== undefined && this.#position + bytes.length > this.#filledTo) {
      this.#waiting = { bytes, done };
      return;
    }
    const offset = this.#position;
    this.#position += bytes.length;
    this.#file.writeDurably(offset, bytes, done);
    this.#filledTo = Math.max(this.#filledTo, this.#position);
    this.#fill();
  }

  /** Gives the file back; nothing is called afterwards but the `done` of a group that was already handed to the disk. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#waiting = undefined;
    this.#file.close();
  }

  /**
   * Starts the next write of zeros when less than what is wanted ahead is there. The space ahead grows with the
   * segment, so that a node that writes little, or is restarted often, does not leave megabytes of zeros behind.
   */
  #fill(): void {
    const { aheadBytes, fillBytes, segmentBytesMax } = this.#options;
    const ahead = Math.min(aheadBytes, Math.max(firstAheadBytes, this.#position));
    const limit = Math.min(this.#position + ahead, segmentBytesMax);
    if (this.#isClosed || this.#fillingTo !== undefined) return;
    if (limit - this.#filledTo < Math.min(fillBytes, ahead / 2)) return;
    const offset = this.#filledTo;
    const length = Math.min(fillBytes, limit - offset);
    if (length <= 0) return;
    this.#fillingTo = offset + length;
    this.#file.writeDurably(offset, zerosOf(length), (error) => this.#filled(error));
  }

  #filled(error: Error | undefined): void {
    if (this.#isClosed) return;
    if (error !== undefined) {
      this.#failed(error);
      return;
    }
    this.#filledTo = this.#fillingTo!;
    this.#fillingTo = undefined;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) this.append(waiting.bytes, waiting.done);
    else this.#fill();
  }
}
