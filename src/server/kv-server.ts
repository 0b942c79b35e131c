import type { Limits, ServerConfig } from "../config/config.ts";
import { liveLimits } from "../config/reload.ts";
import type { DiskLock } from "../env/disk.ts";
import type { Env } from "../env/env.ts";
import { Prng } from "../env/prng.ts";
import { realEnv } from "../env/real-env.ts";
import { type Address, formatAddress, parseFindableAddress } from "../lib/address.ts";
import { type ByteWriter, DecodeError } from "../lib/codec.ts";
import { KvraftError, messageOf } from "../lib/error.ts";
import type { Message, NodeId } from "../raft/types.ts";
import type { Closing, Connection } from "../rpc/connection.ts";
import { type Frame, frameKind } from "../rpc/frame.ts";
import { firstServers, type Hello, type HelloPurpose, noId } from "../rpc/hello.ts";
import { otherConnectionsMax } from "../rpc/limits.ts";
import { type Greeting, Listener } from "../rpc/listener.ts";
import { method } from "../rpc/method.ts";
import { type DataFolder, openDataFolder } from "./data-folder.ts";
import {
  checkDescriptors,
  clientsMaxOf,
  connectionsMaxOf,
  type Descriptors,
  unknownPeersMaxOf,
} from "./descriptors.ts";
import { answerFormed, Formation } from "./formation.ts";
import {
  decodeFormRequest,
  encodeFormReply,
  type FormReply,
  type FormRequest,
} from "./formation-messages.ts";
import type { Guest } from "./guest.ts";
import type { Identity } from "./identity.ts";
import { newId } from "./ids.ts";
import { Joining } from "./joining.ts";
import { clientTurnBytesMax, clientTurnMs } from "./limits.ts";
import { Node } from "./node.ts";
import { PeerAdmission } from "./peer-admission.ts";
import { encodeMessage, laneOf, methodOf } from "./raft-messages.ts";
import { answerUnformed } from "./unformed-requests.ts";

export type LogLevel = "error" | "warn" | "info" | "debug";

export interface KVServerOptions {
  readonly log?: (level: LogLevel, line: string) => void;
  /** The world; the real one by default. */
  readonly env?: Env;
  /** A server of the cluster that this one, whose folder is empty, asks to be let in. */
  readonly join?: Address;
}

/**
 * Starts a node: takes its data folder, listens, and forms the cluster or goes on with the one it belongs to. Resolves
 * when it listens. Throws a KvraftError when it cannot start, and holds nothing then; an empty folder may have got its
 * identity.
 */
export async function startKVServer(config: ServerConfig, options: KVServerOptions = {}): Promise<KVServer> {
  return KVServer.start(config, options);
}

/** One node of the cluster. */
export class KVServer {
  /** Resolves when the node has ended: with the fault that ended it, or with nothing after `stop`. */
  readonly stopped: Promise<KvraftError | undefined>;

  readonly #config: ServerConfig;
  readonly #env: Env;
  readonly #log: (level: LogLevel, line: string) => void;
  readonly #folder: DataFolder;
  readonly #ended = Promise.withResolvers<KvraftError | undefined>();
  readonly #listener: Listener<Guest>;
  /** Connections that members have dialled, the last one of each kind. */
  readonly #guests = new Map<string, Connection<Guest>>();
  readonly #admission = new PeerAdmission();
  #formation: Formation | undefined;
  #joining: Joining | undefined;
  #node: Node | undefined;
  #isStopping = false;
  /** Nothing that arrives is looked at any more. */
  #isDeaf = false;

  static start(config: ServerConfig, options: KVServerOptions): KVServer {
    const env = options.env ?? realEnv();
    const log = options.log ?? (() => {});
    checkDescriptors(env.descriptorsMax);
    const lock = lockFolder(env, config.dataDir);
    try {
      const folder = openDataFolder(env, config, options.join !== undefined, (line) => log("warn", line));
      return new KVServer(config, { ...options, env, log }, folder, lock);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  private constructor(
    config: ServerConfig,
    { env, log, join }: Required<Pick<KVServerOptions, "env" | "log">> & KVServerOptions,
    folder: DataFolder,
    lock: DiskLock,
  ) {
    // Of its own, as a reload changes the limits.
    this.#config = { ...config, limits: { ...config.limits } };
    this.#env = env;
    this.#log = log;
    this.#folder = folder;
    this.stopped = this.#ended.promise.finally(() => lock.release());
    this.#listener = this.#listen();
    try {
      const { identity } = folder;
      if (identity.state === "formed" || identity.state === "joined") this.#startNode(identity, join);
      else if (join === undefined) this.#form();
      else this.#join(join);
    } catch (error) {
      void this.#listener.close();
      folder.close();
      throw error;
    }
    log("info", `node ${folder.identity.nodeId} listens on ${whereText(config.listen, this.address)}`);
  }

  /** Where clients and peers find this node. */
  get address(): Address {
    return this.#config.servers[this.#config.me]!;
  }

  /** Whether this node leads and serves. */
  get isLeader(): boolean {
    return this.#node?.isReady === true;
  }

  /**
   * Ends gracefully: what is applied is stored, replies that are due leave. Idempotent. When the store cannot be written,
   * `stopped` says so, and nothing is lost: the next start applies the log again.
   */
  async stop(): Promise<void> {
    if (!this.#isStopping) {
      this.#isStopping = true;
      this.#formation?.stop();
      this.#joining?.stop();
      await this.#node?.handOver();
      // A fault may have ended it meanwhile.
      if (!this.#isDeaf) {
        this.#isDeaf = true;
        await this.#close(this.#stopNode());
      }
    }
    await this.stopped;
  }

  /** Takes over the limits that can change while it runs; see liveLimits. */
  reload(limits: Limits): void {
    for (const key of liveLimits) Object.assign(this.#config.limits, { [key]: limits[key] });
  }

  #startNode(identity: Identity, join?: Address): void {
    const seed = this.#env.random32();
    this.#node = new Node({
      env: this.#env,
      config: this.#config,
      identity,
      folder: this.#folder,
      ...(join && { join }),
      prng: new Prng(seed),
      log: this.#log,
      failed: (error) => this.#fail(error),
      removed: (nodeIds) => this.#hangUpOn(nodeIds),
      membersChanged: () => this.#tellClients(),
      sendBack: (message, bootId) => this.#sendBack(message, bootId),
      tellBack: (number, write) => this.#tellBack(number, write),
      addressOf: (nodeId, bootId) => this.#guestOf(nodeId, bootId, "control")?.context?.address,
      tellGuest: (nodeId, bootId, number, write) =>
        tell(this.#guestOf(nodeId, bootId, "control"), number, write),
      isGuest: (nodeId, bootId) => this.#guestOf(nodeId, bootId, "control") !== undefined,
      hangUp: (nodeId, isIt, text) => this.#hangUpOnProcesses(nodeId, isIt, text),
    });
  }

  /** Clients that are connected need not find out by trying. */
  #tellClients(): void {
    const servers = firstServers(this.#node?.serverAddresses.join(" ") ?? "");
    this.#listener.each((connection) => {
      if (connection.context?.purpose !== "client") return;
      const body = connection.begin(frameKind.message, method.servers, 0);
      if (body === undefined) return;
      body.text(servers);
      connection.end();
      connection.flush();
    });
  }

  #sendBack(message: Message, bootId: string): boolean {
    const connection = this.#guestOf(message.to, bootId, laneOf(message));
    return tell(connection, methodOf[message.kind], (body) => encodeMessage(body, message));
  }

  #guestOf(nodeId: NodeId, bootId: string, purpose: HelloPurpose): Connection<Guest> | undefined {
    return this.#guests.get(guestName(nodeId, bootId, purpose));
  }

  #hangUpOnProcesses(nodeId: NodeId, isIt: (bootId: string) => boolean, text: string): void {
    const isTheirs = ({ context }: Connection<Guest>) => context?.peer === nodeId && isIt(context.bootId);
    this.#listener.closeWhere(isTheirs, text);
  }

  #tellBack(number: number, write: (body: ByteWriter) => void): void {
    for (const connection of this.#guests.values()) {
      if (connection.context?.purpose !== "control") continue;
      const body = connection.begin(frameKind.message, number, 0);
      if (body === undefined) continue;
      write(body);
      connection.end();
      connection.flush();
    }
  }

  #hangUpOn(nodeIds: readonly NodeId[]): void {
    const isRemoved = ({ context }: Connection<Guest>) =>
      context?.peer !== undefined && nodeIds.includes(context.peer);
    this.#listener.closeWhere(isRemoved, "the node was removed from the cluster");
  }

  get #descriptors(): Descriptors {
    const members = Math.max(this.#config.servers.length, this.#node?.serverAddresses.length ?? 0);
    return { limit: this.#env.descriptorsMax, others: members - 1 };
  }

  get #connectionsMax(): number {
    return connectionsMaxOf(this.#descriptors, this.#config.limits.connections + otherConnectionsMax);
  }

  get #clientsMax(): number {
    return clientsMaxOf(this.#descriptors, this.#connectionsMax, this.#config.limits.connections);
  }

  #listen(): Listener<Guest> {
    const { limits } = this.#config;
    const { host, port } = this.#config.listen ?? this.address;
    return new Listener<Guest>(
      this.#env,
      {
        host,
        port,
        roles: ["peer", "client"],
        clientConnectionsMax: () => this.#clientsMax,
        connectionsMax: () => this.#connectionsMax,
        outputBytesMax: limits.clientOutputBytes,
        clientBytesMax: limits.clientBytes,
        clientTurn: {
          ms: clientTurnMs,
          bytesMax: clientTurnBytesMax,
          isBehind: () => this.#node?.isBehind === true,
        },
        ...(this.#env.collect && { collect: this.#env.collect }),
      },
      {
        greet: (hello, connection) => this.#greet(hello, connection),
        frame: (connection, frame) => this.#frame(connection, frame),
        closed: (connection, closing) => this.#closed(connection, closing),
        log: (line) => this.#log("warn", line),
      },
    );
  }

  #form(): void {
    this.#formation = new Formation({
      env: this.#env,
      folder: this.#config.dataDir,
      servers: this.#config.servers,
      identity: this.#folder.identity,
      newId: () => newId(this.#env),
      log: (line) => this.#log("info", line),
      bootstrap: (identity, done) => this.#folder.bootstrap(identity, done),
    });
    this.#formation
      .run()
      .then((identity) => {
        this.#formation = undefined;
        if (this.#isStopping) return;
        this.#log("info", `the cluster ${identity.clusterId} is formed`);
        this.#startNode(identity);
      })
      .catch((error: unknown) => this.#fail(asKvraftError(error)));
  }

  #join(via: Address): void {
    const { identity } = this.#folder;
    this.#joining = new Joining({
      env: this.#env,
      via: [via],
      nodeId: identity.nodeId,
      address: this.address,
      log: (line) => this.#log("info", line),
    });
    this.#joining
      .run()
      .then((clusterId) => {
        this.#joining = undefined;
        if (this.#isStopping) return;
        const joined = this.#folder.joined(clusterId);
        this.#log(
          "info",
          `this server is a learner of cluster ${clusterId} now; make it a voter with "member add"`,
        );
        this.#startNode(joined);
      })
      .catch((error: unknown) => this.#fail(asKvraftError(error)));
  }

  // ---- connections ----

  #greet(hello: Hello, connection: Connection<Guest>): Greeting {
    const { nodeId, clusterId } = this.#node?.identity ?? this.#folder.identity;
    const { keyBytes, valueBytes } = this.#config.limits;
    const leader = this.#node?.leaderAddress ?? "";
    const timeMs = this.#node?.leaseMs ?? 0;
    const welcome = {
      ...{ clusterId, nodeId, timeMs, keyBytesMax: keyBytes, valueBytesMax: valueBytes, leader },
      bootId: this.#folder.boots.boot.id,
      servers: this.#node?.serverAddresses.join(" ") ?? "",
      ...(this.#node && { start: this.#node.start }),
    };
    const refusal = this.#refusalOf(hello);
    if (refusal !== undefined) return { ...welcome, refusal };
    const isPeer = hello.purpose === "control" || hello.purpose === "bulk";
    const peer = isPeer ? (hello.nodeId as NodeId) : undefined;
    const isMember = peer !== undefined && this.#node?.isMember(peer) === true;
    const unknownMax = unknownPeersMaxOf(this.#descriptors, this.#connectionsMax, this.#clientsMax);
    const problem =
      hello.role === "peer" &&
      this.#admission.admit(connection, hello.nodeId as NodeId, hello.purpose, isMember, unknownMax);
    if (problem) return { ...welcome, refusal: { code: "busy", text: problem } };
    const bootId = hello.start?.boot.id ?? "";
    connection.context = { purpose: hello.purpose, peer, bootId, address: hello.address, isDirty: false };
    if (peer !== undefined && hello.start !== undefined) {
      this.#guests.set(guestName(peer, bootId, hello.purpose), connection);
      this.#node?.cameBack(peer, hello.start, hello.address);
    }
    return { ...welcome, isMember };
  }

  #refusalOf(hello: Hello): Greeting["refusal"] {
    const own = this.#node?.identity.clusterId ?? noId;
    const isForeign = hello.clusterId !== noId && hello.clusterId !== own;
    if ((hello.role === "client") !== (hello.purpose === "client"))
      return { code: "role", text: `A ${hello.role} does not connect for ${hello.purpose}` };
    if (hello.purpose === "form") return undefined;
    if (own !== noId && isForeign)
      return { code: "cluster", text: `This is cluster ${own}, not ${hello.clusterId}; check the addresses` };
    if (hello.role === "client") return undefined;
    if (this.#node === undefined)
      return { code: "state", text: "This server is still waiting for the others to form the cluster" };
    if (hello.address !== undefined && parseFindableAddress(hello.address) === undefined)
      return { code: "node", text: `Nobody can find node ${hello.nodeId} at ${hello.address}; set its ip` };
    if (hello.nodeId === this.#node.identity.nodeId)
      return {
        code: "node",
        text: `This is node ${hello.nodeId} itself; another member is listed at its address`,
      };
    if (this.#node.isRemoved(hello.nodeId))
      return { code: "removed", text: `Node ${hello.nodeId} was removed from cluster ${own}` };
    if (hello.clusterId !== own || !this.#node.isWelcome(hello.nodeId))
      return { code: "node", text: `Node ${hello.nodeId} is no member of cluster ${own}` };
    if (hello.start === undefined)
      return { code: "version", text: "A member says when its process was started; upgrade it" };
    return this.#node.refusalOf(hello.nodeId as NodeId, hello.start.boot.id);
  }

  #frame(connection: Connection<Guest>, frame: Frame): void {
    if (this.#isDeaf) return;
    const guest = connection.context!;
    if (frame.kind === frameKind.message && guest.peer !== undefined && this.#node !== undefined)
      this.#node.message(guest.peer, guest.bootId, frame, "accepted");
    else if (frame.kind === frameKind.request && guest.purpose === "client") this.#request(connection, frame);
    else if (frame.kind === frameKind.request && guest.peer !== undefined && isForPeers(frame.method))
      this.#request(connection, frame);
    else if (frame.kind === frameKind.request && frame.method === method.form)
      this.#formRequest(connection, frame);
    else throw new DecodeError(`a ${guest.purpose} connection does not carry it`);
  }

  #request(connection: Connection<Guest>, frame: Frame): void {
    if (this.#node !== undefined) this.#node.request(connection, frame);
    else answerUnformed(connection, frame, this.#folder.identity, formatAddress(this.address));
  }

  #formRequest(connection: Connection<Guest>, frame: Frame): void {
    const reply = this.#formReply(decodeFormRequest(frame.reader()));
    if (reply === undefined) return;
    const body = connection.begin(frameKind.reply, frame.method, frame.requestId);
    if (body === undefined) return;
    encodeFormReply(body, reply);
    connection.end();
    connection.flush();
  }

  /** Undefined when what was asked for could not be stored: then the node has failed. */
  #formReply(request: FormRequest): FormReply | undefined {
    try {
      const { servers } = this.#config;
      return (
        this.#formation?.answer(request) ??
        answerFormed(servers, this.#node?.identity ?? this.#folder.identity, request)
      );
    } catch (error) {
      this.#fail(asKvraftError(error));
      return undefined;
    }
  }

  #closed(connection: Connection<Guest>, closing: Closing): void {
    const { peer, bootId, purpose } = connection.context ?? {};
    this.#admission.gone(connection);
    if (peer !== undefined && this.#guestOf(peer, bootId!, purpose!) === connection)
      this.#replaceGuest(peer, bootId!, purpose!);
    this.#log("debug", `the connection from ${connection.remote} is gone: ${closing.text}`);
  }

  /** A dial that its maker gave up may have come last: an earlier connection is the one in use then. */
  #replaceGuest(peer: NodeId, bootId: string, purpose: HelloPurpose): void {
    const name = guestName(peer, bootId, purpose);
    this.#guests.delete(name);
    this.#listener.each((other) => {
      const { context } = other;
      if (!other.isOpen || context?.peer !== peer) return;
      if (context.bootId === bootId && context.purpose === purpose) this.#guests.set(name, other);
    });
  }

  // ---- the end ----

  #fail(error: KvraftError): void {
    if (this.#isDeaf) return;
    this.#isStopping = true;
    this.#isDeaf = true;
    this.#log("error", error.message);
    this.#formation?.stop();
    this.#joining?.stop();
    this.#node?.abandon();
    void this.#close(error);
  }

  #stopNode(): KvraftError | undefined {
    try {
      this.#node?.stop();
      return undefined;
    } catch (error) {
      const cause = asKvraftError(error);
      this.#log("error", cause.message);
      return cause;
    }
  }

  async #close(error: KvraftError | undefined): Promise<void> {
    await Promise.all([this.#listener.close(), this.#node?.closed()]);
    this.#folder.close();
    this.#ended.resolve(error);
  }
}

function whereText(listen: Address | undefined, address: Address): string {
  const found = formatAddress(address);
  const listens = formatAddress(listen ?? address);
  return listens === found ? found : `${listens}, and is found at ${found}`;
}

function guestName(nodeId: NodeId, bootId: string, purpose: HelloPurpose): string {
  return `${nodeId} ${bootId} ${purpose}`;
}

/** Sends a message at once; false when there is no connection, or its queue is full. */
function tell(
  connection: Connection<Guest> | undefined,
  number: number,
  write: (body: ByteWriter) => void,
): boolean {
  const body = connection?.begin(frameKind.message, number, 0);
  if (connection === undefined || body === undefined) return false;
  write(body);
  connection.end();
  connection.flush();
  return true;
}

/** What members ask each other that is no message of Raft. */
function isForPeers(number: number): boolean {
  return number === method.openSnapshot || number === method.readSnapshot;
}

function lockFolder(env: Env, folder: string): DiskLock {
  env.disk.createFolder(folder);
  const lock = env.disk.lock(`${folder}/LOCK`);
  if (lock !== undefined) return lock;
  throw new KvraftError(
    "LOCKED",
    `Cannot open "${folder}": the folder is locked by another process; stop it, or choose another dataDir`,
  );
}

function asKvraftError(error: unknown): KvraftError {
  if (error instanceof KvraftError) return error;
  throw new Error(messageOf(error), { cause: error });
}
