import type { ServerConfig } from "../config/config.ts";
import type { Timer } from "../env/clock.ts";
import type { Env } from "../env/env.ts";
import type { Prng } from "../env/prng.ts";
import { StateMachine } from "../kv/state-machine.ts";
import { LevelDB } from "../leveldb/level-db.ts";
import { formatAddress } from "../lib/address.ts";
import { DecodeError } from "../lib/codec.ts";
import type { KvraftError } from "../lib/error.ts";
import { Raft } from "../raft/raft.ts";
import type { EntryId, NodeId } from "../raft/types.ts";
import type { Persister } from "../raftlog/persister.ts";
import type { Connection } from "../rpc/connection.ts";
import type { Frame } from "../rpc/frame.ts";
import { ClientRequests } from "./client-requests.ts";
import { corruptLog, type DataFolder } from "./data-folder.ts";
import { Driver } from "./driver.ts";
import type { Guest } from "./guest.ts";
import type { Identity } from "./identity.ts";
import { appendBytesMax, expireEveryMs, windowBytesMax } from "./limits.ts";
import { LogTime } from "./log-time.ts";
import { decodeMembers, type Member } from "./members.ts";
import { Peers } from "./peers.ts";
import { decodeMessage } from "./raft-messages.ts";

export interface NodeOptions {
  readonly env: Env;
  readonly config: ServerConfig;
  readonly identity: Identity;
  readonly folder: DataFolder;
  readonly prng: Prng;
  readonly log: (level: "error" | "warn" | "info" | "debug", line: string) => void;
  readonly failed: (error: KvraftError) => void;
}

/** A member of a formed cluster: recovery, then the core, its driver, its peers and its clients put together. */
export class Node {
  readonly identity: Identity;
  readonly #options: NodeOptions;
  readonly #members: readonly Member[];
  readonly #persister: Persister;
  readonly #store: LevelDB;
  readonly #machine: StateMachine;
  readonly #time: LogTime;
  readonly #raft: Raft;
  readonly #driver: Driver;
  readonly #peers: Peers;
  readonly #requests: ClientRequests;
  readonly #dirty: Connection<Guest>[] = [];
  #expiry: Timer | undefined;

  /** Throws a KvraftError when log and store are not what this node wrote, and holds nothing then but the log. */
  constructor(options: NodeOptions) {
    const { env, config, identity, folder, prng } = options;
    this.#options = options;
    this.identity = identity;
    this.#time = new LogTime(env.clock);
    this.#persister = folder.openLog(identity);
    this.#members = membersOf(this.#persister, config.dataDir);
    this.#store = LevelDB.open(env, folder.storeFolder, {
      createIfMissing: true,
      memtableBytesMax: config.limits.memtableBytes,
      report: (line) => options.log("info", line),
      failed: options.failed,
    });
    this.#machine = this.#openMachine();
    this.#raft = this.#makeRaft();
    this.#driver = this.#makeDriver();
    this.#requests = this.#makeRequests();
    this.#peers = new Peers({
      env,
      clusterId: identity.clusterId,
      nodeId: identity.nodeId,
      chance: prng.fork(),
      peers: this.#members
        .map(({ nodeId }, place) => ({ nodeId, address: config.servers[place]! }))
        .filter((peer) => peer.nodeId !== identity.nodeId),
      log: (line) => options.log("info", line),
    });
    this.#expire();
  }

  /** Whether this node leads and serves. */
  get isReady(): boolean {
    return this.#driver.isReady;
  }

  /** The time that a command would get now, in ms since 1970. */
  get timeMs(): number {
    return this.#time.nowMs(this.#machine.clockMs);
  }

  /** `host:port` of the node that leads as far as is known, or empty. */
  get leaderAddress(): string {
    return this.#addressOf(this.#raft.leader);
  }

  memberOf(nodeId: string): NodeId | undefined {
    return this.#members.find((member) => member.nodeId === nodeId && nodeId !== this.identity.nodeId)
      ?.nodeId;
  }

  /** A message of Raft from a member. */
  message(from: NodeId, frame: Frame): void {
    this.#driver.step(decodeMessage(frame.method, frame.reader(), from, this.identity.nodeId));
  }

  /** A request of a client. */
  request(connection: Connection<Guest>, frame: Frame): void {
    this.#requests.handle(connection, frame);
  }

  /** Ends gracefully: what is applied is stored. Throws a KvraftError when it cannot be, and has ended all the same. */
  stop(): void {
    this.#halt();
    try {
      this.#driver.flushStore();
    } finally {
      this.#store.close();
    }
  }

  /** Ends after a fault: nothing more is written. */
  abandon(): void {
    this.#halt();
    this.#store.close();
  }

  /** Resolves when the connections to the peers are gone. */
  closed(): Promise<void> {
    return this.#peers.close();
  }

  #halt(): void {
    this.#driver.stop();
    this.#expiry?.cancel();
    this.#requests.lostLeadership();
    this.#flushClients();
  }

  #openMachine(): StateMachine {
    try {
      checkApplied(this.#persister, this.#store, this.#options.config.dataDir);
      return new StateMachine(this.#store, this.#store.applied.index);
    } catch (error) {
      this.#store.close();
      throw error;
    }
  }

  #makeRaft(): Raft {
    const { config, identity, prng, log } = this.#options;
    const { tickMs, heartbeatMs, electionMinMs, electionMaxMs, diskStallMs } = config.timings;
    const ticks = (ms: number) => Math.max(1, Math.round(ms / tickMs));
    const { hardState } = this.#persister.readRaftState();
    return new Raft({
      id: identity.nodeId,
      configuration: { incoming: this.#members.map((member) => member.nodeId), outgoing: [] },
      hardState,
      log: this.#persister,
      applied: this.#store.applied.index,
      chance: prng.fork(),
      heartbeatTicks: ticks(heartbeatMs),
      electionTicksMin: ticks(electionMinMs),
      electionTicksMax: ticks(electionMaxMs),
      diskStallTicks: ticks(diskStallMs),
      appendBytesMax,
      windowBytesMax,
      uncommittedBytesMax: config.limits.uncommittedBytes,
      trace: (line) => log("info", line),
    });
  }

  #makeDriver(): Driver {
    return new Driver(
      {
        clock: this.#options.env.clock,
        raft: this.#raft,
        persister: this.#persister,
        machine: this.#machine,
        store: this.#store,
        tickMs: this.#options.config.timings.tickMs,
      },
      {
        send: (message) => this.#peers.send(message),
        applied: (id: EntryId, result) => this.#requests.applied(id, result),
        readable: (context) => this.#requests.readable(context),
        lostLeadership: () => this.#requests.lostLeadership(),
        turnBegins: () => this.#requests.turnBegins(),
        messagesSent: () => this.#peers.flush(),
        turnEnds: () => this.#flushClients(),
        failed: (error) => this.#options.failed(error),
      },
    );
  }

  #makeRequests(): ClientRequests {
    const { limits } = this.#options.config;
    return new ClientRequests({
      clock: this.#options.env.clock,
      machine: this.#machine,
      driver: this.#driver,
      keyBytesMax: limits.keyBytes,
      valueBytesMax: limits.valueBytes,
      requestsInFlightMax: limits.requestsInFlight,
      leaderAddress: () => this.leaderAddress,
      term: () => this.#raft.term,
      timeMs: () => this.timeMs,
      markDirty: (connection) => this.#markDirty(connection),
      statusJson: () => JSON.stringify(this.#status()),
    });
  }

  #markDirty(connection: Connection<Guest>): void {
    const guest = connection.context!;
    if (guest.isDirty) return;
    guest.isDirty = true;
    this.#dirty.push(connection);
    this.#driver.schedule();
  }

  #flushClients(): void {
    for (const connection of this.#dirty) {
      connection.context!.isDirty = false;
      connection.flush();
    }
    this.#dirty.length = 0;
  }

  #expire(): void {
    this.#requests.expire();
    this.#expiry = this.#options.env.clock.after(expireEveryMs, () => this.#expire());
  }

  #status(): Record<string, unknown> {
    const { role, term, commit, last, firstIndex } = this.#raft.getState();
    return {
      address: formatAddress(this.#options.config.servers[this.identity.place]!),
      nodeId: this.identity.nodeId,
      clusterId: this.identity.clusterId,
      state: this.identity.state,
      role,
      term,
      commit,
      applied: this.#driver.applied.index,
      revision: this.#machine.revision,
      firstIndex,
      lastIndex: last.index,
      logBytes: this.#persister.bytes,
      leader: this.leaderAddress,
    };
  }

  #addressOf(nodeId: NodeId | undefined): string {
    const place = this.#members.findIndex((member) => member.nodeId === nodeId);
    return place < 0 ? "" : formatAddress(this.#options.config.servers[place]!);
  }
}

/** Who the members are stands in the log's first entry. */
function membersOf(log: Persister, dataDir: string): Member[] {
  const [first] = log.slice(1, 2, 1);
  if (first?.kind !== "config") throw corruptLog(dataDir, "the entry that formed its cluster is missing");
  try {
    return decodeMembers(first.data);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw corruptLog(dataDir, error.message);
  }
}

/** The store never runs ahead of the log that it was made from. */
function checkApplied(log: Persister, store: LevelDB, dataDir: string): void {
  const { index, term } = store.applied;
  if (log.term(index) === term) return;
  throw corruptLog(
    dataDir,
    `the store has applied entry ${index} of term ${term}, and the log ` +
      `${index > log.lastIndex ? `ends at ${log.lastIndex}` : `has it in term ${log.term(index)}`}`,
  );
}
