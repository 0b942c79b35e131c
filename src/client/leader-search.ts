import { type Address, formatAddress, parseAddress } from "../lib/address.ts";
import type { ClientEnd } from "../rpc/client-end.ts";
import { noId } from "../rpc/hello.ts";
import type { Failure } from "./call-reply.ts";

/** Milliseconds between two tries: short at first, since an election takes little longer than its timeout. */
const backOffMinMs = 10;
const backOffMaxMs = 100;
/** Rounds among members that answer and know no leader, before all others are asked, too: longer than an election. */
const memberRoundsMax = 4;

/** A server that says so often in a row that the leader is at its own address is not believed. */
const selfNamedMax = 5;

type Failed = Pick<Failure, "leader" | "isLate" | "code">;

/**
 * Which end to ask, and when: the last known leader, whoever a server names, or the next one in turn. The members of the
 * cluster, once they were heard of, come before the servers that the client was made with: these are a last resort, asked
 * when no member has answered for a whole round, or some have for several and none of them leads.
 */
export class LeaderSearch {
  /** Those that the client was made with. They are never closed before the client is. */
  readonly #configured: readonly ClientEnd[];
  readonly #dial: (address: Address) => ClientEnd;
  readonly #attemptMs: number;
  /** In the order of the search: members, then all others. */
  #ends: ClientEnd[];
  /** How many of them are members; all while nobody has said who is. */
  #memberCount: number;
  #memberNames: string;
  #at: number;
  /** A member has answered since the search was at the first one. */
  #hasHeardMember = false;
  /** Whose leader answered last: what servers of another cluster say is not about this one. `noId` while none has. */
  #clusterId = noId;
  /** What each end said last of who the members are. */
  readonly #learned = new WeakMap<ClientEnd, string>();
  /** How often in a row a server that does not lead has said that the leader is at its own address. */
  #selfNamed = 0;
  /** Nothing came for the last try. */
  #wasLate = false;
  /** Tries that failed in a row. */
  #failures = 0;
  /** Nobody asks again before this moment: many callers that fail together are one failure. */
  #notBeforeMs = 0;

  /**
   * `dial` makes an end for a server that is not among the known ones; `attemptMs` is how long a try may take that is not
   * cut short by its request's deadline.
   */
  constructor(ends: readonly ClientEnd[], attemptMs: number, dial: (address: Address) => ClientEnd) {
    this.#configured = [...ends];
    this.#ends = [...ends];
    this.#memberCount = ends.length;
    this.#memberNames = "";
    this.#at = 0;
    this.#attemptMs = attemptMs;
    this.#dial = dial;
  }

  /** All that are known: those that the client was made with, in their order, then the others. */
  get ends(): readonly ClientEnd[] {
    return [...this.#configured, ...this.#ends.filter((end) => !this.#configured.includes(end))];
  }

  get current(): ClientEnd {
    return this.#ends[this.#at]!;
  }

  /** The end for this address, a new one if it is not known. */
  endOf(address: Address): ClientEnd {
    return this.#ends[this.#placeOf(address)]!;
  }

  /**
   * These are the members now. They take the first places of the search. Others that the client was not made with are
   * closed, but for the one that is asked at the moment.
   */
  learn(addresses: readonly Address[]): void {
    const names = [...new Set(addresses.map(formatAddress))].join(" ");
    if (addresses.length === 0 || names === this.#memberNames) return;
    const { current } = this;
    // Two members may have one address.
    const members = [...new Set(addresses.map((address) => this.endOf(address)))];
    const others = this.#ends.filter((end) => !members.includes(end));
    const kept = others.filter((end) => end === current || this.#configured.includes(end));
    this.#memberNames = names;
    this.#ends = [...members, ...kept];
    this.#memberCount = members.length;
    this.#at = this.#ends.indexOf(current);
    for (const end of others) if (!kept.includes(end)) void end.close();
  }

  /** `end` has answered something, whoever leads. */
  heard(end: ClientEnd): void {
    this.#learnFrom(end);
  }

  /** `end` has answered as a leader does. */
  found(end: ClientEnd): void {
    this.#clusterId = end.clusterId;
    this.#learnFrom(end);
    if (end !== this.current) return;
    this.#failures = 0;
    this.#selfNamed = 0;
    this.#hasHeardMember = false;
  }

  /**
   * `end` did not help within `timeoutMs`. Returns how long to wait before the next try, in ms. An end that was given
   * little time, because the request's deadline was near, and has not answered in it, keeps its place: else short deadlines
   * would drive a client past a leader that is merely far away, again and again.
   */
  failed(end: ClientEnd, { leader, isLate, code }: Failed, timeoutMs: number, nowMs: number): number {
    for (const each of this.#ends) this.#learnFrom(each);
    if (isLate && timeoutMs < this.#attemptMs / 2) return 0;
    if (end === this.current) {
      const isMember = this.#at < this.#memberCount;
      if (isMember && code !== "Unreachable") this.#hasHeardMember = true;
      this.#at = this.#isOther(end, leader) ? this.#placeOf(leader) : this.#next();
      // A machine says something after a silence, be it that nothing listens: the network is back, and so may the leader be.
      if (this.#wasLate && !isLate) this.#failures = 0;
      this.#wasLate = isLate;
      this.#failures++;
      // One round without waiting, so that a leader which is there is found at once. A try that came to nothing has waited.
      const rounds = this.#failures - this.#memberCount;
      if (rounds >= 0 && !isLate)
        this.#notBeforeMs = nowMs + Math.min(backOffMaxMs, backOffMinMs * 2 ** Math.min(rounds, 8));
    }
    return Math.max(0, this.#notBeforeMs - nowMs);
  }

  /**
   * Where a cluster has members that answer, the leader is one of them, or will be soon. But who does not know that it was
   * removed answers, too, and tells of members that are gone.
   */
  #next(): number {
    const next = this.#at + 1;
    const isHopeful = this.#hasHeardMember && this.#failures < memberRoundsMax * this.#memberCount;
    const isRoundOver = next === this.#ends.length || (next === this.#memberCount && isHopeful);
    if (isRoundOver) this.#hasHeardMember = false;
    return isRoundOver ? 0 : next;
  }

  /**
   * Whether somebody else is named. A leader that is not ready names itself, and is asked again; but who goes on saying
   * that the leader is where it is itself does not know that the leader has moved.
   */
  #isOther(end: ClientEnd, leader: Address | undefined): leader is Address {
    if (leader === undefined) return false;
    const isSelf = formatAddress(leader) === formatAddress(end.address);
    this.#selfNamed = isSelf ? this.#selfNamed + 1 : 0;
    return this.#selfNamed < selfNamedMax;
  }

  /** Each server tells at its hello who the members are, and again when they change. */
  #learnFrom(end: ClientEnd): void {
    const { servers, clusterId } = end;
    if (servers === "" || servers === this.#learned.get(end)) return;
    if (this.#clusterId !== noId && clusterId !== this.#clusterId) return;
    this.#learned.set(end, servers);
    this.learn(servers.split(" ").flatMap((text) => parseAddress(text) ?? []));
  }

  #placeOf(address: Address): number {
    const name = formatAddress(address);
    const place = this.#ends.findIndex((end) => formatAddress(end.address) === name);
    return place >= 0 ? place : this.#ends.push(this.#dial(address)) - 1;
  }
}
