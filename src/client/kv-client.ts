/**
 * The client library, importable as `kvraft`.
 *
 * @example
 * import { getClientEnds, makeKVClient } from "kvraft";
 *
 * const client = makeKVClient(getClientEnds("config/client.yml"));
 * await client.put("greeting", "hello");
 * console.log(await client.get("greeting")); // hello
 * await client.close();
 *
 * @module
 */
import { nanoid } from "nanoid";
import { defaultTimeoutMs } from "../config/config.ts";
import type { Clock } from "../env/clock.ts";
import type { Net } from "../env/net.ts";
import { formatAddress } from "../lib/address.ts";
import { type Bytes, emptyBytes, fromUtf8, toUtf8 } from "../lib/bytes.ts";
import type { ByteReader, ByteWriter } from "../lib/codec.ts";
import { messageOf } from "../lib/error.ts";
import type { ClientEnd } from "../rpc/client-end.ts";
import { method } from "../rpc/method.ts";
import type { CallResult } from "../rpc/pending-calls.ts";
import { printable } from "../rpc/printable.ts";
import { encodeRequestHead, withLife } from "../rpc/request.ts";
import { replyOf } from "./call-reply.ts";
import { clientEndsOf, getClientEnds, realClientEnv, tryConnect } from "./client-ends.ts";
import { KVError } from "./kv-error.ts";
import { LeaderSearch } from "./leader-search.ts";
import { attemptTimeoutMs, statusTimeoutMs } from "./limits.ts";
import { type NodeStatus, nodeStatusOf } from "./node-status.ts";
import { WriteQueue } from "./write-queue.ts";

export type { Outcome } from "./kv-error.ts";
export { clientEndsOf, getClientEnds, KVError, type NodeStatus, tryConnect };

export interface KVClientOptions {
  /** How long a request may take, in ms. [5000] */
  readonly timeoutMs?: number;
  /** The world; the real one by default. */
  readonly env?: ClientEnv;
}

export interface ClientEnv {
  readonly clock: Clock;
  readonly net: Net;
  /** Draws the name of a session, which nobody else may ever draw. [nanoid] */
  readonly newName?: () => string;
}

/** A value and the life of its key. */
export interface KVRecord {
  readonly value: Bytes;
  /** The database's revision at the first put since the key did not exist. */
  readonly created: number;
  /** The revision at the newest put. */
  readonly modified: number;
  /** How many puts there were since `created`. */
  readonly count: number;
}

/** Makes a client of the cluster behind these ends, which it closes with itself. */
export function makeKVClient(ends: readonly ClientEnd[], options: KVClientOptions = {}): KVClient {
  return new KVClient(ends, options);
}

/**
 * A client of one cluster. It finds the leader, follows it when it changes, and retries until a request's time is up.
 * Reads are linearizable: they see every write that was answered before they began. Writes are applied exactly once
 * each, in the order of the calls. Every failure is a KVError, whose `outcome` says whether anything may have happened.
 * Bytes that are passed in must not change before the call is answered.
 *
 * Keys and values are byte strings; text is UTF-8. Any number of calls may be under way at one time.
 */
export class KVClient {
  readonly #env: ClientEnv;
  readonly #timeoutMs: number;
  readonly #search: LeaderSearch;
  readonly #writes: WriteQueue;
  #isClosed = false;

  constructor(ends: readonly ClientEnd[], options: KVClientOptions) {
    if (ends.length === 0) throw new KVError("not-done", "Unreachable", "Cannot make a client of no servers");
    this.#env = options.env ?? realClientEnv();
    this.#timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    const attemptMs = Math.min(attemptTimeoutMs, this.#timeoutMs);
    this.#search = new LeaderSearch(ends, attemptMs, (address) => clientEndsOf([address], this.#env)[0]!);
    const { clock, newName = nanoid } = this.#env;
    this.#writes = new WriteQueue({ clock, search: this.#search, newName: () => newName() });
  }

  /** The value of a key as text, or undefined when there is no such key. */
  async get(key: string | Bytes): Promise<string | undefined> {
    const value = await this.getBytes(key);
    return value === undefined ? undefined : fromUtf8(value);
  }

  /** The value of a key as bytes, or undefined when there is no such key. */
  async getBytes(key: string | Bytes): Promise<Bytes | undefined> {
    return this.#read(key, 0, readValue);
  }

  /** The value of a key with its life, or undefined when there is no such key. */
  async getRecord(key: string | Bytes): Promise<KVRecord | undefined> {
    return this.#read(key, withLife, readRecord);
  }

  /** Sets the value of a key. Once it resolves the value is on the disks of a majority. */
  async put(key: string | Bytes, value: string | Bytes): Promise<void> {
    await this.#writes.write("put", bytesOf(key), bytesOf(value), this.#timeoutMs);
  }

  /** Removes a key. Resolves with whether it existed. */
  async delete(key: string | Bytes): Promise<boolean> {
    const status = await this.#writes.write("delete", bytesOf(key), emptyBytes, this.#timeoutMs);
    return status === "OK";
  }

  /** What each server says of itself, in the order of the ends. A server that does not answer is not reachable. */
  status(): Promise<NodeStatus[]> {
    return Promise.all(this.#search.ends.map((end) => this.#statusOf(end)));
  }

  /** Ends the client: what is under way fails, connections are closed. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#writes.close();
    await Promise.all(this.#search.ends.map((end) => end.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Asks until somebody answers as the leader, or the time is up. */
  async #read<T>(
    key: string | Bytes,
    flags: number,
    decode: (payload: ByteReader) => T,
  ): Promise<T | undefined> {
    const { clock } = this.#env;
    const keyBytes = bytesOf(key);
    const deadlineMs = clock.monotonicMs() + this.#timeoutMs;
    for (let lastFailure = "no server was asked"; ; ) {
      const leftMs = deadlineMs - clock.monotonicMs();
      if (this.#isClosed) throw new KVError("not-done", "Closed", "Cannot get: the client is closed");
      if (leftMs <= 0) throw new KVError("not-done", "Deadline", `Cannot get: ${lastFailure}`);
      const end = this.#search.current;
      const timeoutMs = Math.min(leftMs, attemptTimeoutMs);
      const encode = (body: ByteWriter) => {
        encodeRequestHead(body, timeoutMs);
        body.u8(flags);
        body.bytes(keyBytes);
      };
      const reply = replyOf(await this.#call(end, encode, timeoutMs), decode);
      if (reply.kind === "answer") {
        this.#search.found(end);
        return reply.status === "OK" ? reply.payload : undefined;
      }
      if (!reply.retryable) throw new KVError("refused", reply.code, reply.text);
      lastFailure = reply.text;
      const waitMs = this.#search.failed(end, reply, timeoutMs, clock.monotonicMs());
      await this.#sleep(Math.min(waitMs, deadlineMs - clock.monotonicMs()));
    }
  }

  /** Sends one Get. What cannot even be encoded was refused before it left. */
  #call(end: ClientEnd, encode: (body: ByteWriter) => void, timeoutMs: number): Promise<CallResult> {
    return end.call(method.get, encode, timeoutMs).catch((error: unknown) => {
      throw new KVError("refused", "ErrTooLarge", messageOf(error));
    });
  }

  async #statusOf(end: ClientEnd): Promise<NodeStatus> {
    const address = formatAddress(end.address);
    const timeoutMs = Math.min(statusTimeoutMs, this.#timeoutMs);
    const encode = (body: ByteWriter) => encodeRequestHead(body, timeoutMs);
    const reply = replyOf(await end.call(method.status, encode, timeoutMs), readValue);
    if (reply.kind === "failure") return { address, reachable: false, error: reply.text };
    try {
      return nodeStatusOf(address, reply.status === "OK" ? fromUtf8(reply.payload) : "{}");
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return {
        address,
        reachable: false,
        error: `Its status cannot be read: ${printable(messageOf(error))}`,
      };
    }
  }

  #sleep(ms: number): Promise<void> {
    if (ms <= 0) return Promise.resolve();
    return new Promise((resolve) => this.#env.clock.after(ms, resolve));
  }
}

function readValue(payload: ByteReader): Bytes {
  return payload.bytes();
}

function readRecord(payload: ByteReader): KVRecord {
  const value = payload.bytes();
  return { value, created: payload.varint(), modified: payload.varint(), count: payload.varint() };
}

function bytesOf(text: string | Bytes): Bytes {
  return typeof text === "string" ? toUtf8(text) : text;
}
