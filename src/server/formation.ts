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
  serverListText,
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
/** People compare checksums by their first digits. */
const checksumDigitsShown = 12;

/**
 * The first start of a cluster, in two steps. The server in place 0 draws a cluster id when all listed servers are
 * present, have the same list, and have folders that are all empty or all of the same backup. It stores "forming" and has
 * everybody store it. When all have, it is "formed"; the others are as soon as they hear of one that is. A crash anywhere
 * resumes where it was, since all of it is on disk before it is told. A server without a cluster that hears of a formed
 * one stops: what it once acknowledged may be lost with its folder, so it must not vote again under its old place. The
 * same holds when its folder was made from a backup meanwhile.
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
    const backup = backupOf(this.#identity);
    return { place, nodeId, backup, state, clusterId, accepted: refusal === undefined, text: refusal ?? "" };
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
    const servers = serverListText(this.#options.servers);
    const request = { place, nodeId, servers, backup: backupOf(this.#identity), prepare };
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
    const { state, place, clusterId } = this.#identity;
    this.#tellWaiting(places, replies);
    if (state === "forming" && replies.some((reply) => reply?.state === "formed")) return this.#finish();
    if (place !== 0 || !replies.every(isReady)) return;
    if (state === "alone") this.#begin(replies as FormReply[]);
    else if (prepared && replies.every((reply) => reply?.clusterId === clusterId)) this.#finish();
  }

  /** Stops a server without a cluster that meets one: it may have been a member, and lost what it acknowledged. */
  #checkFormed(address: Address, reply: FormReply): void {
    if (reply.state !== "formed" || this.#identity.clusterId === reply.clusterId) return;
    const { folder } = this.#options;
    const member = formatAddress(address);
    throw new KvraftError(
      "IDENTITY",
      `Cannot join: the data folder "${folder}" ${this.#whatFolderIs()}, but ${member} belongs to the formed cluster ` +
        `${reply.clusterId}; a server that lost its folder must not vote again, also not with a folder that was restored. ` +
        `Bring this server back as a new member: empty the folder, start it with --join ${member}, and run kvraft member ` +
        "replace. If another cluster is to take the place of that one, stop all its servers, and empty or restore the " +
        "folders of all of them",
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
        `folder "${this.#options.folder}" ${state === "alone" ? "knows nothing of it" : `belongs to ${clusterId}`}. If any` +
        " server has ever said that the cluster is formed, start that one: it tells how this one comes back. If none has, " +
        "then no data was written: empty or restore the folders of all servers and start them again",
    );
  }

  #whatFolderIs(): string {
    const { state, clusterId, origin } = this.#identity;
    if (state !== "alone") return `was to become part of cluster ${clusterId}`;
    return origin === undefined ? "is empty" : "was prepared from a backup";
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
    const names = places
      .filter((_, at) => !isReady(replies[at]))
      .map((place) => formatAddress(this.#options.servers[place]!));
    const refusals = replies.filter((reply) => reply?.accepted === false);
    const difference = this.#differenceOfFolders(places, replies);
    const reasons = new Set(difference === undefined ? refusals.map((reply) => reply!.text) : [difference]);
    const waitingFor = [names.join(", "), ...reasons].join("; ");
    if (waitingFor === this.#waitingFor) return;
    this.#waitingFor = waitingFor;
    if (names.length > 0) this.#options.log(`waiting for ${waitingFor}`);
  }

  /** Which server has what, when they do not all have the same. */
  #differenceOfFolders(
    places: readonly number[],
    replies: readonly (FormReply | undefined)[],
  ): string | undefined {
    const backups = new Map([[this.#identity.place, backupOf(this.#identity)]]);
    for (const [at, place] of places.entries()) {
      const reply = replies[at];
      if (reply !== undefined) backups.set(place, reply.backup);
    }
    if (new Set(backups.values()).size === 1) return undefined;
    const told = [...backups]
      .toSorted(([a], [b]) => a - b)
      .map(
        ([place, backup]) => `${formatAddress(this.#options.servers[place]!)} has ${describeBackup(backup)}`,
      );
    return (
      `the data folders differ: ${told.join(", ")}; run kvraft snapshot restore with the same backup for every server, or ` +
      "empty the folders of all servers"
    );
  }
}

function isReady(reply: FormReply | undefined): boolean {
  return reply?.accepted === true;
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
  const backup = backupOf(identity);
  const state = identity.state === "joined" ? "formed" : identity.state;
  const isSame = request.prepare === undefined || request.prepare.clusterId === clusterId;
  const text =
    disagreementWith(servers, identity, request) ??
    (isSame ? "" : `This server is already part of cluster ${clusterId}`);
  return { place, nodeId, backup, state, clusterId, accepted: text === "", text };
}

function disagreementWith(
  servers: readonly Address[],
  identity: Identity,
  request: FormRequest,
): string | undefined {
  const own = serverListText(servers);
  if (request.servers !== own)
    return `The server lists differ: here ${own}, there ${request.servers}; give all servers the same list`;
  if (request.place === identity.place || request.place >= servers.length)
    return `Two servers claim place ${identity.place} of the list; give each its own "me"`;
  const backup = backupOf(identity);
  if (request.backup !== backup)
    return `The data folders differ: here ${describeBackup(backup)}, there ${describeBackup(request.backup)}`;
  return undefined;
}

function backupOf({ origin }: Identity): string {
  return origin?.checksum ?? "";
}

function describeBackup(checksum: string): string {
  return checksum === "" ? "nothing" : `backup ${checksum.slice(0, checksumDigitsShown)}`;
}
