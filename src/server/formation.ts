import type { Clock, Timer } from "../env/clock.ts";
import type { Disk } from "../env/disk.ts";
import type { Net } from "../env/net.ts";
import { type Address, formatAddress } from "../lib/address.ts";
import { ByteReader, DecodeError } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import { ClientEnd } from "../rpc/client-end.ts";
import { makeHello, noId } from "../rpc/hello.ts";
import { method } from "../rpc/method.ts";
import {
  decodeFormReply,
  encodeFormRequest,
  type FormReply,
  type FormRequest,
} from "./formation-messages.ts";
import { type Identity, writeIdentity } from "./identity.ts";
import { type Member, membersOf } from "./members.ts";

export interface FormationOptions {
  readonly env: { readonly clock: Clock; readonly net: Net; readonly disk: Disk };
  readonly folder: string;
  readonly servers: readonly Address[];
  readonly identity: Identity;
  /** Draws the id of a new cluster. */
  readonly newId: () => string;
  /** Told each time the list of those who are waited for changes. */
  readonly log: (line: string) => void;
  /** Makes the first log entry durable; called before "formed" is stored. */
  readonly bootstrap: (identity: Identity, done: (error?: Error) => void) => void;
}

/** Servers are asked this often, in ms: a person starts them one after the other. */
const askEveryMs = 200;
/** An answer is not waited for longer than this, in ms. */
const askTimeoutMs = 1000;

/**
 * The first start of a cluster, in two steps. The server in place 0 draws a cluster id when all listed servers are
 * present, have empty folders and the same list; it stores "forming" and has everybody store it. When all have, it
 * is "formed"; the others are as soon as they hear of one that is. A crash anywhere resumes where it was, since all of
 * it is on disk before it is told. A server with an empty folder that hears of a formed cluster stops: what it once
 * acknowledged may be lost with its folder, so it must not vote again under its old place.
 */
export class Formation {
  readonly #options: FormationOptions;
  readonly #ends = new Map<number, ClientEnd>();
  readonly #done = Promise.withResolvers<Identity>();
  #identity: Identity;
  #timer: Timer | undefined;
  #isAsking = false;
  #isOver = false;
  #waitingFor = "";

  constructor(options: FormationOptions) {
    this.#options = options;
    this.#identity = options.identity;
    const { env, servers, identity } = options;
    const hello = makeHello({ clusterId: noId, nodeId: identity.nodeId, role: "peer", purpose: "form" });
    servers.forEach((address, place) => {
      if (place !== identity.place) this.#ends.set(place, new ClientEnd(env, address, hello));
    });
  }

  /** Resolves with the formed identity; rejects with a KvraftError when there can be none. */
  run(): Promise<Identity> {
    this.#ask();
    return this.#done.promise;
  }

  /** Gives up, without a result. */
  stop(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    for (const end of this.#ends.values()) void end.close();
  }

  /** Answers a server that asks. */
  answer(request: FormRequest): FormReply {
    const refusal = this.#accept(request);
    const { place, nodeId, state, clusterId } = this.#identity;
    return { place, nodeId, state, clusterId, accepted: refusal === undefined, text: refusal ?? "" };
  }

  /** Stores what is proposed if it fits; returns why not. */
  #accept(request: FormRequest): string | undefined {
    const disagreement = disagreementWith(this.#options.servers, this.#identity, request);
    if (disagreement !== undefined || request.prepare === undefined) return disagreement;
    const { clusterId, members } = request.prepare;
    if (this.#identity.state !== "alone") {
      const isSame = this.#identity.clusterId === clusterId;
      return isSame ? undefined : `This server is already part of cluster ${this.#identity.clusterId}`;
    }
    if (request.place !== 0) return "Only the first server of the list forms a cluster";
    const { place, nodeId } = this.#identity;
    if (members.list.length !== this.#options.servers.length || members.list[place]?.nodeId !== nodeId)
      return "Its folder was emptied while the cluster was formed; empty the folders of all servers and start again";
    this.#become({ ...this.#identity, state: "forming", clusterId, members });
    return undefined;
  }

  #ask(): void {
    if (this.#isOver || this.#isAsking) return;
    this.#isAsking = true;
    const isFirst = this.#identity.place === 0;
    const isForming = this.#identity.state === "forming";
    const { clusterId, members } = this.#identity;
    const prepare = isFirst && isForming ? { clusterId, members } : undefined;
    void this.#round(prepare).finally(() => {
      this.#isAsking = false;
      if (!this.#isOver) this.#timer = this.#options.env.clock.after(askEveryMs, () => this.#ask());
    });
  }

  async #round(prepare: FormRequest["prepare"]): Promise<void> {
    const { place, nodeId } = this.#identity;
    const servers = listOf(this.#options.servers);
    const request = { place, nodeId, servers, prepare };
    const places = [...this.#ends.keys()];
    const replies = await Promise.all(places.map((each) => this.#askOne(each, request)));
    if (this.#isOver) return;
    try {
      this.#conclude(places, replies, prepare !== undefined);
    } catch (error) {
      this.stop();
      this.#done.reject(error);
    }
  }

  async #askOne(place: number, request: FormRequest): Promise<FormReply | undefined> {
    const end = this.#ends.get(place)!;
    const result = await end.call(method.form, (body) => encodeFormRequest(body, request), askTimeoutMs);
    if (!result.ok) return undefined;
    try {
      const reply = decodeFormReply(new ByteReader(result.body));
      if (!reply.accepted || reply.place === place) return reply;
      const text = `${formatAddress(end.address)} says that its place is ${reply.place}; give each server its own "me"`;
      return { ...reply, accepted: false, text };
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return undefined;
    }
  }

  #conclude(places: readonly number[], replies: readonly (FormReply | undefined)[], prepared: boolean): void {
    // First of all whether there is a formed cluster: then the advice of the other check would cost its data.
    for (const check of [this.#checkFormed, this.#checkForming])
      for (const [at, reply] of replies.entries())
        if (reply !== undefined) check.call(this, this.#options.servers[places[at]!]!, reply);
    const isReady = (reply: FormReply | undefined) => reply?.accepted === true;
    const { state, place, clusterId } = this.#identity;
    this.#tellWaiting(
      places.filter((_, at) => !isReady(replies[at])),
      replies,
    );
    if (state === "forming" && replies.some((reply) => reply?.state === "formed")) return this.#finish();
    if (place !== 0 || !replies.every(isReady)) return;
    if (state === "alone") this.#begin(replies as FormReply[]);
    else if (prepared && replies.every((reply) => reply?.clusterId === clusterId)) this.#finish();
  }

  /** Stops a server without a cluster that meets one: it may have been a member, and lost what it acknowledged. */
  #checkFormed(address: Address, reply: FormReply): void {
    if (reply.state !== "formed" || this.#identity.clusterId === reply.clusterId) return;
    const { folder } = this.#options;
    const isEmpty = this.#identity.state === "alone";
    const why = isEmpty ? "is empty" : `was to become part of cluster ${this.#identity.clusterId}`;
    throw new KvraftError(
      "IDENTITY",
      `Cannot join: the data folder "${folder}" ${why}, but ${formatAddress(address)} belongs to the formed cluster ` +
        `${reply.clusterId}; a server that lost its folder must not vote again. Restore the folder, or replace ` +
        "this server by a new member; if a new cluster is wanted, empty the folders of all servers",
    );
  }

  /** Stops a server that can have no part in what another one has begun to form. */
  #checkForming(address: Address, reply: FormReply): void {
    const { state, place, clusterId } = this.#identity;
    const isOther = reply.state === "forming" && reply.clusterId !== clusterId;
    if (!isOther || (state === "alone" && place !== 0)) return;
    throw new KvraftError(
      "IDENTITY",
      `Cannot form a cluster: ${formatAddress(address)} has begun to form cluster ${reply.clusterId}, and the data ` +
        `folder "${this.#options.folder}" ${state === "alone" ? "knows nothing of it" : `belongs to ${clusterId}`}; ` +
        "restore that folder. If no server has ever said that the cluster is formed, then no data was written: empty " +
        "the folders of all servers and start them again",
    );
  }

  /** Everybody is ready, each at its own place. */
  #begin(replies: readonly FormReply[]): void {
    const { servers, newId } = this.#options;
    const nodeIds = new Map(replies.map((reply) => [reply.place, reply.nodeId]));
    const isClash = new Set([...nodeIds.values(), this.#identity.nodeId]).size < servers.length;
    if (isClash) throw clashingFolders(this.#options.folder);
    nodeIds.set(0, this.#identity.nodeId);
    const list = servers.map(
      (address, place): Member => ({
        nodeId: nodeIds.get(place)!,
        address: formatAddress(address),
        role: "voter",
      }),
    );
    this.#become({ ...this.#identity, state: "forming", clusterId: newId(), members: membersOf(list, []) });
    if (servers.length === 1) this.#finish();
  }

  #finish(): void {
    this.stop();
    this.#options.bootstrap(this.#identity, (error) => {
      try {
        if (error !== undefined) throw error;
        this.#become({ ...this.#identity, state: "formed" });
        this.#done.resolve(this.#identity);
      } catch (failure) {
        this.#done.reject(failure);
      }
    });
  }

  #become(identity: Identity): void {
    writeIdentity(this.#options.env.disk, this.#options.folder, identity);
    this.#identity = identity;
  }

  #tellWaiting(places: readonly number[], replies: readonly (FormReply | undefined)[]): void {
    const names = places.map((place) => formatAddress(this.#options.servers[place]!));
    const reasons = new Set(replies.filter((reply) => reply?.accepted === false).map((reply) => reply!.text));
    const waitingFor = [names.join(", "), ...reasons].join("; ");
    if (waitingFor === this.#waitingFor) return;
    this.#waitingFor = waitingFor;
    if (names.length > 0) this.#options.log(`waiting for ${waitingFor}`);
  }
}

function clashingFolders(folder: string): KvraftError {
  return new KvraftError(
    "IDENTITY",
    `Cannot form a cluster: two servers have the same node id, so one of their data folders is a copy; this one's is ` +
      `"${folder}". Give each server an empty folder of its own`,
  );
}

/** Answers a server that asks when this node has long been formed. */
export function answerFormed(
  servers: readonly Address[],
  identity: Identity,
  request: FormRequest,
): FormReply {
  const { place, nodeId, clusterId } = identity;
  const state = identity.state === "joined" ? "formed" : identity.state;
  const isSame = request.prepare === undefined || request.prepare.clusterId === clusterId;
  const text =
    disagreementWith(servers, identity, request) ??
    (isSame ? "" : `This server is already part of cluster ${clusterId}`);
  return { place, nodeId, state, clusterId, accepted: text === "", text };
}

function disagreementWith(
  servers: readonly Address[],
  identity: Identity,
  request: FormRequest,
): string | undefined {
  const own = listOf(servers);
  if (request.servers !== own)
    return `The server lists differ: here ${own}, there ${request.servers}; give all servers the same list`;
  if (request.place === identity.place || request.place >= servers.length)
    return `Two servers claim place ${identity.place} of the list; give each its own "me"`;
  return undefined;
}

function listOf(servers: readonly Address[]): string {
  return servers.map(formatAddress).join(" ");
}
