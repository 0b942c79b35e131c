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
import { type Address, formatAddress, parseAddress } from "../lib/address.ts";
import { type Bytes, emptyBytes, fromUtf8, toUtf8 } from "../lib/bytes.ts";
import type { ByteReader, ByteWriter } from "../lib/codec.ts";
import { messageOf } from "../lib/error.ts";
import type { ClientEnd } from "../rpc/client-end.ts";
import { noId } from "../rpc/hello.ts";
import { type ChangeMembers, encodeChangeMembers, type NamedMember } from "../rpc/member-requests.ts";
import { method } from "../rpc/method.ts";
import { printable } from "../rpc/printable.ts";
import { encodeRequestHead, withLife } from "../rpc/request.ts";
import { replyOf } from "./call-reply.ts";
import { clientEndsOf, getClientEnds, realClientEnv, tryConnect } from "./client-ends.ts";
import { KVError } from "./kv-error.ts";
import { LeaderCalls } from "./leader-calls.ts";
import { LeaderSearch } from "./leader-search.ts";
import { attemptTimeoutMs, membersPatienceMs, statusTimeoutMs } from "./limits.ts";
import { isToldByLeader, type MemberList, type MemberStatus, memberListOf } from "./member-list.ts";
import { displacedOf, type NodeStatus, nodeStatusOf } from "./node-status.ts";
import { SnapshotStream } from "./snapshot-stream.ts";
import { WriteQueue } from "./write-queue.ts";

export type { Outcome } from "./kv-error.ts";
export type { MemberList, MemberStatus, NodeStatus, SnapshotStream };
export { clientEndsOf, getClientEnds, KVError, tryConnect };

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

/** A node id; or one with the address where the member is believed to be: if it is elsewhere the change is refused. */
export type MemberReference = string | { readonly nodeId: string; readonly address: string };

/** A change of the members, all at once. */
export interface MemberChange {
  /** Learners that become voters. */
  readonly promote?: readonly MemberReference[];
  /** Members that leave. */
  readonly remove?: readonly MemberReference[];
  /** Voters that leave, and the learners that take their places. */
  readonly replace?: readonly { readonly old: MemberReference; readonly new: MemberReference }[];
}

export interface SnapshotOptions {
  /**
   * Everything that the node had applied when it was asked is in it, and of the leader's every write that was answered
   * before; else whatever is durable already. [false]
   */
  readonly fresh?: boolean;
  /** The node that is read from, a member or not. [the leader] */
  readonly from?: Address;
}

const addressBytesMax = 512;

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
  readonly #calls: LeaderCalls;
  readonly #snapshots = new Set<SnapshotStream>();

  constructor(ends: readonly ClientEnd[], options: KVClientOptions) {
    if (ends.length === 0) throw new KVError("not-done", "Unreachable", "Cannot make a client of no servers");
    this.#env = options.env ?? realClientEnv();
    this.#timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
    const attemptMs = Math.min(attemptTimeoutMs, this.#timeoutMs);
    this.#search = new LeaderSearch(ends, attemptMs, (address) => this.#endOf(address));
    const { clock, newName = nanoid } = this.#env;
    this.#calls = new LeaderCalls({ clock, search: this.#search, timeoutMs: this.#timeoutMs });
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

  /**
   * What each server says of itself: those that the client was made with, in their order, then the other members of
   * the cluster. A server that does not answer is not reachable, nor is a member at whose address another node answers.
   */
  async status(): Promise<NodeStatus[]> {
    const ends = this.#search.ends;
    const nodes = await Promise.all(ends.map((end) => this.#statusOf(end)));
    for (const end of ends) this.#search.heard(end);
    const others = this.#search.ends.filter((end) => !ends.includes(end));
    const all = [...nodes, ...(await Promise.all(others.map((end) => this.#statusOf(end))))];
    return [...all, ...displacedOf(all)];
  }

  /**
   * Who the members are, as the leader knows them; after two seconds without one, as any node does, which cannot tell how
   * far the others are.
   */
  async members(): Promise<MemberList> {
    let second: MemberList | undefined;
    const betterThan = (list: MemberList, end: ClientEnd) => {
      if (isToldByLeader(list) || list.leader === formatAddress(end.address)) return undefined;
      second = list;
      return { leader: parseAddress(list.leader) };
    };
    const list = await this.#calls
      .demand(
        {
          name: "list the members",
          method: method.members,
          write: () => {},
          read: (payload) => memberListOf(fromUtf8(payload.bytes())),
          attemptMs: attemptTimeoutMs,
          betterThan,
        },
        Math.min(this.#timeoutMs, membersPatienceMs),
      )
      .then(({ payload }) => payload)
      .catch((error: unknown) => {
        if (second === undefined || this.#calls.isClosed) throw error;
        return second;
      });
    this.#search.learn(list.members.flatMap(({ address }) => parseAddress(address) ?? []));
    return list;
  }

  /**
   * Makes voters of learners, removes members and replaces voters by learners, in one change, which is over when this
   * resolves. What was done already changes nothing; what can neither be done nor was is refused, and then nothing is done.
   * A learner that has not caught up is refused with the code ErrBehind: try again later.
   */
  async changeMembers({ promote = [], remove = [], replace = [] }: MemberChange): Promise<void> {
    const change: ChangeMembers = {
      promote: promote.map(namedMember),
      remove: remove.map(namedMember),
      replace: replace.map((pair) => ({ old: namedMember(pair.old), new: namedMember(pair.new) })),
    };
    await this.#calls.demand({
      name: "change the members",
      method: method.changeMembers,
      write: (body) => encodeChangeMembers(body, change),
      read: () => {},
      attemptMs: this.#timeoutMs,
      isChange: true,
    });
  }

  /**
   * Has the leader hand over to the voter `to`, a node id, or to whichever is the furthest. Resolves when that one led.
   * When an answer was lost it is asked for again: without `to` the leadership may move twice.
   */
  async transferLeadership(to?: string): Promise<void> {
    await this.#calls.demand({
      name: "transfer the leadership",
      method: method.transferLeader,
      write: (body) => body.id(to ?? noId),
      read: () => {},
      attemptMs: this.#timeoutMs,
      isChange: true,
    });
  }

  /**
   * Opens the state of one node as it is at one moment, to be read chunk by chunk (SnapshotStream).
   *
   * @example
   * const snapshot = await client.snapshot({ fresh: true });
   * for await (const rows of snapshot) file.write(rows);
   */
  async snapshot({ fresh = false, from }: SnapshotOptions = {}): Promise<SnapshotStream> {
    // A read that was answered shows who leads for certain: who was deposed may say that it leads, and lacks writes.
    if (fresh && from === undefined) await this.getBytes(emptyBytes);
    const end = this.#endOf(from ?? (await this.#leaderAddress()));
    const stream = await SnapshotStream.open(
      {
        clock: this.#env.clock,
        end,
        timeoutMs: this.#timeoutMs,
        closed: (closed) => this.#snapshots.delete(closed),
      },
      fresh,
    );
    this.#snapshots.add(stream);
    return stream;
  }

  /** Ends the client: what is under way fails, connections are closed. Idempotent. */
  async close(): Promise<void> {
    this.#calls.close();
    this.#writes.close();
    for (const stream of [...this.#snapshots]) stream.close();
    await Promise.all(this.#search.ends.map((end) => end.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #read<T>(
    key: string | Bytes,
    flags: number,
    decode: (payload: ByteReader) => T,
  ): Promise<T | undefined> {
    const keyBytes = bytesOf(key);
    const answer = await this.#calls.ask({
      name: "get",
      method: method.get,
      write: (body) => {
        body.u8(flags);
        body.bytes(keyBytes);
      },
      read: decode,
      attemptMs: attemptTimeoutMs,
    });
    return answer?.payload;
  }

  /** Of the node that says that it leads and serves. */
  async #leaderAddress(): Promise<Address> {
    const { end } = await this.#calls.demand({
      name: "find the leader",
      method: method.isLeader,
      write: () => {},
      read: (payload) => ({
        isLeader: payload.u8() !== 0,
        leader: parseAddress(payload.text(addressBytesMax)),
      }),
      attemptMs: attemptTimeoutMs,
      betterThan: ({ isLeader, leader }) => (isLeader ? undefined : { leader }),
    });
    return end.address;
  }

  #endOf(address: Address): ClientEnd {
    return clientEndsOf([address], this.#env)[0]!;
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
}

function namedMember(reference: MemberReference): NamedMember {
  const named = typeof reference === "string" ? { nodeId: reference, address: "" } : reference;
  if (/^[0-9a-f]{16}$/i.test(named.nodeId)) return named;
  throw new KVError(
    "refused",
    "ErrMembers",
    `Cannot change the members: found ${JSON.stringify(named.nodeId)}, wanted a node id of 16 hexadecimal digits`,
  );
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
