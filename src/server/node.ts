import type { Timer } from "../env/clock.ts";
import { StateMachine } from "../kv/state-machine.ts";
import { LevelDB } from "../leveldb/level-db.ts";
import { formatAddress, parseFindableAddress } from "../lib/address.ts";
import type { Bytes } from "../lib/bytes.ts";
import { DecodeError } from "../lib/codec.ts";
import { KvraftError, messageOf } from "../lib/error.ts";
import type { Raft } from "../raft/raft.ts";
import type { EntryId, Message, NodeId } from "../raft/types.ts";
import type { Persister } from "../raftlog/persister.ts";
import type { Connection } from "../rpc/connection.ts";
import type { Frame } from "../rpc/frame.ts";
import type { ProcessStart } from "../rpc/hello.ts";
import { method } from "../rpc/method.ts";
import { Agreement } from "./agreement.ts";
import { ClientRequests } from "./client-requests.ts";
import { ClusterTime } from "./cluster-time.ts";
import { checkApplied, corruptLog, followStore } from "./data-folder.ts";
import { DirtyGuests } from "./dirty-guests.ts";
import { Driver, type DriverOwner } from "./driver.ts";
import { checkEntries } from "./entry-check.ts";
import type { Guest } from "./guest.ts";
import type { Identity } from "./identity.ts";
import { expireEveryMs, handOverMsMax, removedLingerMs, unsealedMemtables } from "./limits.ts";
import { LogCompaction } from "./log-compaction.ts";
import { makeRaft } from "./make-raft.ts";
import { MemberBoots } from "./member-boots.ts";
import { MemberRequests } from "./member-requests.ts";
import { decodeMembers, type Members, noMembers, wasRemoved } from "./members.ts";
import type { NodeOptions } from "./node-options.ts";
import { statusOf } from "./node-status.ts";
import { OwnAddress } from "./own-address.ts";
import { type PeerAddress, Peers } from "./peers.ts";
import { ProcessLinks } from "./process-links.ts";
import { decodeMessage } from "./raft-messages.ts";
import { Replies } from "./replies.ts";
import { SnapshotFetch } from "./snapshot-fetch.ts";
import { SnapshotRequests } from "./snapshot-requests.ts";
import { Whereabouts } from "./whereabouts.ts";

/** A member of a formed cluster: recovery, then the core, its driver, its peers and its clients put together. */
export class Node {
  readonly identity: Identity;
  readonly #options: NodeOptions;
  readonly #persister: Persister;
  readonly #store: LevelDB;
  readonly #machine: StateMachine;
  readonly #raft: Raft;
  readonly #driver: Driver;
  readonly #time: ClusterTime;
  readonly #boots: MemberBoots;
  readonly #peers: Peers;
  readonly #requests: ClientRequests;
  readonly #memberRequests: MemberRequests;
  readonly #snapshotRequests: SnapshotRequests;
  readonly #snapshotFetch: SnapshotFetch;
  readonly #agreement: Agreement;
  readonly #whereabouts: Whereabouts;
  readonly #ownAddress: OwnAddress;
  /** As of the last config entry that was applied: committed, and for good. */
  #appliedMembers: Members = noMembers;
  /** A node that is no member as far as is known here, and that the state is fetched from: it knows the members. */
  #source: PeerAddress | undefined;
  #isRemoved = false;
  readonly #dirty = new DirtyGuests(() => this.#driver.schedule());
  #expiry: Timer | undefined;

  /** Throws a KvraftError when log and store are not what this node wrote, and holds nothing then but the log. */
  constructor(options: NodeOptions) {
    const { env, config, identity, folder, prng } = options;
    this.#options = options;
    this.identity = identity;
    // The store first. Its lock still excludes others when the folder's lock file was removed, and opening the log
    // writes. And opening the store removes files, which a full disk needs before the log can be opened.
    this.#store = LevelDB.open(env, folder.storeFolder, {
      createIfMissing: true,
      memtableBytesMax: config.limits.memtableBytes,
      report: (line) => options.log("info", line),
      failed: options.failed,
    });
    this.#persister = this.#openLog();
    this.#machine = this.#openMachine();
    this.#raft = this.#makeRaft();
    this.#driver = this.#makeDriver();
    this.#boots = this.#makeBoots();
    this.#time = this.#makeTime();
    const replies = this.#makeReplies();
    this.#snapshotRequests = this.#makeSnapshotRequests(replies);
    this.#memberRequests = this.#makeMemberRequests(replies);
    this.#requests = this.#makeRequests(replies);
    this.#snapshotFetch = this.#makeSnapshotFetch();
    this.#agreement = this.#makeAgreement();
    this.#whereabouts = this.#makeWhereabouts();
    this.#ownAddress = this.#makeOwnAddress();
    this.#appliedMembers = this.#storedMembers();
    this.#peers = new Peers({
      ...{ env, clusterId: identity.clusterId, nodeId: identity.nodeId },
      address: formatAddress(config.servers[config.me]!),
      chance: prng.fork(),
      peers: this.#others,
      start: this.start,
      log: (line) => options.log("info", line),
      message: (from, bootId, frame) => this.message(from, bootId, frame, "dialled"),
      met: (nodeId, { start }) => this.#boots.answered(nodeId, start),
      counts: (nodeId, bootId) => this.#boots.counts(nodeId, bootId),
      refusedBy: (nodeId, isFinal, text) => this.#boots.refusedBy(nodeId, isFinal, text),
      gone: (nodeId, address) => {
        if (!this.#whereabouts.isElsewhere(nodeId, address)) this.#driver.reportGone(nodeId);
      },
      removed: (text) => this.#wasRemoved(text),
      missed: (nodeId, address, found) => this.#whereabouts.missed(nodeId, address, found),
    });
    this.#expire();
    this.#ownAddress.check(this.#members.list);
    if (this.isRemoved(identity.nodeId)) this.#wasRemoved("its own log says so");
  }

  /** Whether this node leads and serves. */
  get isReady(): boolean {
    return this.#driver.isReady;
  }

  /** Lease time, as far as it is known here. */
  get leaseMs(): number {
    return this.#time.leaseMs;
  }

  /** `host:port` of the node that leads as far as is known, or empty. */
  get leaderAddress(): string {
    const { leader } = this.#raft;
    if (leader !== undefined || !this.#isRemoved) return this.#addressOf(leader);
    // Nobody tells a removed node who leads, but any member knows.
    return this.#addressOf(this.#members.list.find(({ role }) => role === "voter")?.nodeId);
  }

  /** Addresses of all members, for clients; two members may have one. */
  get serverAddresses(): readonly string[] {
    return [...new Set(this.#members.list.map((member) => this.#whereabouts.addressOf(member)))];
  }

  /**
   * Whether a node of this cluster is listened to: all but those that were removed. Who is unknown may be a member by a
   * configuration that has yet to arrive here.
   */
  isWelcome(nodeId: string): boolean {
    return nodeId !== this.identity.nodeId && !this.isRemoved(nodeId);
  }

  /** By the configuration in force here. */
  isMember(nodeId: NodeId): boolean {
    return this.#members.list.some((member) => member.nodeId === nodeId);
  }

  /** Asked for each piece of clients' input: see ClientRequests. */
  get isBehind(): boolean {
    return this.#requests.isBehind;
  }

  get start(): ProcessStart {
    return this.#boots.start;
  }

  /** Why that process of a node of this cluster is not let in. */
  refusalOf(nodeId: NodeId, bootId: string): ReturnType<MemberBoots["refusalOf"]> {
    return this.#boots.refusalOf(nodeId, bootId);
  }

  /** A process of a node of this cluster has connected to this one, and says where it is found. */
  cameBack(nodeId: NodeId, start: ProcessStart, address: string | undefined): void {
    this.#boots.met(nodeId, start);
    this.#peers.cameBack(nodeId);
    if (this.#boots.counts(nodeId, start.boot.id)) this.#whereabouts.met(nodeId, address);
  }

  isRemoved(nodeId: string): boolean {
    return wasRemoved(this.#appliedMembers, nodeId);
  }

  /**
   * A message from whoever said hello as this process, or answers where this node has dialled it. Throws a DecodeError,
   * which closes the connection, for what no honest member sends.
   */
  message(from: NodeId, bootId: string, frame: Frame, side: "accepted" | "dialled"): void {
    if (frame.method === method.boots) return this.#boots.heard(from, bootId, frame.reader());
    // It can end this node for good, and anybody can say hello as a majority.
    if (frame.method === method.agreement && side === "accepted")
      throw new DecodeError("a hash is believed only where this node has dialled");
    if (!this.#boots.counts(from, bootId)) return;
    if (frame.method === method.agreement) return this.#agreement.heard(from, frame.reader());
    const message = decodeMessage(frame.method, frame.reader(), from, this.identity.nodeId);
    checkEntries(message);
    if (!this.#boots.mayStep(message, bootId, this.#stepLater)) return;
    const problem = this.#step(message);
    if (problem !== undefined) throw new DecodeError(`no member can have sent it: ${problem}`);
  }

  #step(message: Message): string | undefined {
    const problem = this.#driver.step(message);
    if (problem === undefined) this.#time.heard(message);
    return problem;
  }

  readonly #stepLater = (message: Message): void => {
    const problem = this.#step(message);
    if (problem !== undefined) this.#options.log("warn", `No member can have sent a message: ${problem}`);
  };

  /** A request of a client. */
  request(connection: Connection<Guest>, frame: Frame): void {
    this.#requests.handle(connection, frame);
  }

  /**
   * Hands the leadership over before an orderly end, so that clients need not wait for an election. Resolves when another
   * node leads, when there is nobody to hand it to, or after a second.
   */
  async handOver(): Promise<void> {
    const { clock } = this.#options.env;
    const untilMs = clock.monotonicMs() + handOverMsMax;
    if (!this.#driver.transferLeadership()) return;
    while (clock.monotonicMs() < untilMs && (this.#raft.isLeader || this.#raft.leader === undefined))
      await new Promise<void>((resolve) => clock.after(1, resolve));
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

  /** In force, whether the change that made them so is committed or not. */
  get #members(): Members {
    // The core gives back what `decodeConfiguration` has made for it.
    return this.#raft.configuration as Members;
  }

  get #others(): readonly PeerAddress[] {
    const others: PeerAddress[] = this.#members.list
      .filter(({ nodeId }) => nodeId !== this.identity.nodeId)
      .map((member) => ({ nodeId: member.nodeId, address: this.#whereabouts.addressOf(member) }));
    if (this.#source !== undefined && !this.isMember(this.#source.nodeId)) others.push(this.#source);
    return others;
  }

  #halt(): void {
    this.#driver.stop();
    this.#expiry?.cancel();
    this.#snapshotFetch.stop();
    this.#snapshotRequests.stop();
    this.#whereabouts.stop();
    this.#ownAddress.stop();
    this.#lostLeadership();
    this.#dirty.flush();
  }

  #openLog(): Persister {
    try {
      return this.#options.folder.openLog(this.identity, this.#store.applied);
    } catch (error) {
      this.#store.close();
      throw error;
    }
  }

  #openMachine(): StateMachine {
    try {
      followStore(this.#persister, this.#store);
      checkApplied(this.#persister, this.#store, this.#options.config.dataDir);
      return new StateMachine(this.#store, this.#store.applied.index);
    } catch (error) {
      this.#store.close();
      throw error;
    }
  }

  #makeRaft(): Raft {
    const { config, prng, log } = this.#options;
    return makeRaft(this.identity.nodeId, config, this.#persister, prng, {
      configuration: this.#storedMembers(),
      decodeConfiguration: (data) => this.#decodeMembers(data),
      applied: this.#store.applied.index,
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
        compaction: this.#makeCompaction(),
        tickMs: this.#options.config.timings.tickMs,
        unsealedBytesMax: unsealedMemtables * this.#options.config.limits.memtableBytes,
      },
      this.#driverOwner(),
    );
  }

  #makeTime(): ClusterTime {
    const { env, config, identity } = this.#options;
    return new ClusterTime({
      clock: env.clock,
      nodeId: identity.nodeId,
      raft: this.#raft,
      machine: this.#machine,
      isReady: () => this.#driver.isReady,
      propose: (command) => this.#driver.start(command),
      electionMs: config.timings.electionMaxMs,
    });
  }

  #driverOwner(): DriverOwner {
    return {
      send: (message) => {
        this.#time.stamp(message);
        return !this.#boots.maySend(message, this.#sendLater) || this.#send(message);
      },
      applied: (id: EntryId, result) => this.#requests.applied(id, result),
      readable: (context) => {
        if (!this.#memberRequests.readable(context)) this.#requests.readable(context);
      },
      storeHangs: (forMs) =>
        this.#options.log(
          "warn",
          `The store has done nothing for ${forMs} ms, and committed entries wait for it: check the disk of ` +
            `"${this.#options.config.dataDir}". This node does not lead until the store gets on`,
        ),
      storeGetsOn: () => this.#options.log("warn", "The store gets on again"),
      configured: () => this.#peers.update(this.#others),
      configurationApplied: () => this.#configurationApplied(),
      reached: (index) => this.#agreement.applied(index, this.#machine.hash),
      snapshotOffered: (from) => this.#snapshotOffered(from),
      lostLeadership: () => this.#lostLeadership(),
      turnBegins: () => this.#requests.turnBegins(),
      messagesSent: () => this.#peers.flush(),
      turnEnds: () => {
        this.#memberRequests.turn();
        this.#boots.turn();
        this.#dirty.flush();
      },
      failed: (error) => this.#options.failed(error),
    };
  }

  #send(message: Message): boolean {
    if (this.#peers.send(message)) return true;
    const bootId = this.#peers.isConnected(message) ? undefined : this.#boots.admittedBoot(message.to);
    return bootId !== undefined && this.#options.sendBack(message, bootId);
  }

  /** What is said of an old term is of no use any more, and harmless. */
  readonly #sendLater = (message: Message): void => {
    this.#send(message);
    this.#peers.flush();
  };

  #makeBoots(): MemberBoots {
    const { env, config, folder, log, failed, addressOf } = this.#options;
    folder.failed = (error) => failed(new KvraftError("IO_ERROR", messageOf(error)));
    return new MemberBoots({
      ...{ clock: env.clock, nodeId: this.identity.nodeId, dataDir: config.dataDir, folder, log, failed },
      raft: this.#raft,
      machine: this.#machine,
      driver: () => this.#driver,
      links: new ProcessLinks(() => this.#peers, this.#options),
      silenceMs: 2 * config.timings.electionMaxMs,
      isMember: (nodeId) => this.isMember(nodeId),
      nameOf: (nodeId) => this.#addressOf(nodeId) || `node ${nodeId}`,
      admitted: (nodeId, bootId) => this.#whereabouts.met(nodeId, addressOf(nodeId, bootId)),
    });
  }

  #makeCompaction(): LogCompaction {
    return new LogCompaction({
      persister: this.#persister,
      store: this.#store,
      limits: this.#options.config.limits,
      heldIndex: () => this.#snapshotRequests.heldIndex,
    });
  }

  #makeReplies(): Replies {
    return new Replies({
      term: () => this.#raft.term,
      revision: () => this.#machine.revision,
      leaseMs: () => this.#time.leaseMs,
      leaderAddress: () => this.leaderAddress,
      markDirty: (connection) => this.#dirty.mark(connection),
    });
  }

  #makeSnapshotRequests(replies: Replies): SnapshotRequests {
    return new SnapshotRequests({
      clock: this.#options.env.clock,
      store: this.#store,
      driver: this.#driver,
      replies,
      logBytes: () => this.#persister.bytes,
    });
  }

  #makeMemberRequests(replies: Replies): MemberRequests {
    return new MemberRequests({
      clusterId: this.identity.clusterId,
      nodeId: this.identity.nodeId,
      address: formatAddress(this.#options.config.servers[this.#options.config.me]!),
      ...{ clock: this.#options.env.clock, raft: this.#raft, driver: this.#driver, replies },
      members: () => this.#members,
      leaderAddress: () => this.leaderAddress,
      logBytesAfter: (index) => this.#persister.bytesAfter(index),
      stateSentTo: (nodeId) => this.#snapshotRequests.sentTo(nodeId),
      saidBy: this.#saidBy,
    });
  }

  #makeSnapshotFetch(): SnapshotFetch {
    return new SnapshotFetch({
      clock: this.#options.env.clock,
      store: this.#store,
      driver: this.#driver,
      call: (from, method, write, timeoutMs) => this.#peers.call(from, method, write, timeoutMs),
      silentMs: this.#options.config.timings.electionMinMs,
      log: (line) => this.#options.log("info", line),
      restored: () => this.#restored(),
    });
  }

  #makeAgreement(): Agreement {
    return new Agreement({
      nodeId: this.identity.nodeId,
      everyEntries: this.#options.config.limits.agreementEntries,
      configuration: () => this.#raft.configuration,
      tell: (write) => this.#options.tellBack(method.agreement, write),
      differs: (error) => this.#differs(error),
    });
  }

  /** A start would go on from the same state, and might lead with it until hashes are compared again. */
  #differs(error: KvraftError): void {
    this.#options.folder.condemn("state", error.message);
    this.#options.failed(error);
  }

  #makeWhereabouts(): Whereabouts {
    const { env, config } = this.#options;
    const { clusterId, nodeId } = this.identity;
    return new Whereabouts({
      ...{ env, clusterId, nodeId, address: config.servers[config.me]!, listed: config.servers },
      members: () => this.#members.list,
      isMet: (id) => this.#peers.isMet(id),
      saidBy: this.#saidBy,
      // A dial that is told of is not over yet.
      changed: () => env.clock.soon(() => this.#peers.update(this.#others)),
    });
  }

  /** Where the process that counts as that node says that it is found. */
  readonly #saidBy = (id: NodeId) => this.#options.addressOf(id, this.#boots.admittedBoot(id) ?? "");

  #makeOwnAddress(): OwnAddress {
    const { env, config, join, log, failed } = this.#options;
    const { clusterId, nodeId } = this.identity;
    const address = config.servers[config.me]!;
    const others = () => this.#whereabouts.all;
    return new OwnAddress({
      ...{ env, clusterId, nodeId, address, listed: config.servers, others, join, log, failed },
    });
  }

  #makeRequests(replies: Replies): ClientRequests {
    const { limits } = this.#options.config;
    return new ClientRequests({
      clock: this.#options.env.clock,
      machine: this.#machine,
      driver: this.#driver,
      keyBytesMax: limits.keyBytes,
      valueBytesMax: limits.valueBytes,
      get requestsInFlightMax() {
        return limits.requestsInFlight;
      },
      replies,
      leaderAddress: () => this.leaderAddress,
      time: this.#time,
      others: (replyTo, reader, remainingMs) =>
        this.#memberRequests.dispatch(replyTo, reader, remainingMs) ||
        this.#snapshotRequests.dispatch(replyTo, reader, remainingMs),
      statusJson: () => JSON.stringify(this.#status()),
    });
  }

  #expire(): void {
    this.#time.check();
    this.#requests.expire();
    this.#memberRequests.expire();
    this.#snapshotRequests.expire();
    this.#boots.tick();
    this.#expiry = this.#options.env.clock.after(expireEveryMs, () => this.#expire());
  }

  #status(): Record<string, unknown> {
    const parts = { raft: this.#raft, driver: this.#driver, machine: this.#machine, store: this.#store };
    return {
      ...statusOf(this.#options.config, this.identity, this.#persister, parts),
      leaseTimeMs: this.#time.leaseMs,
      wallTimeMs: this.#time.wallMs,
      memberCount: this.#members.list.length,
      leader: this.leaderAddress,
      ...(this.#raft.isLeader ? { followers: this.#memberRequests.followers() } : {}),
    };
  }

  #lostLeadership(): void {
    this.#requests.lostLeadership();
    this.#memberRequests.lostLeadership();
  }

  /**
   * It may come from a leader that this node has yet to hear of: its configuration is what the state brings. Then it is
   * dialled for the time being, where its hello says that it is found.
   */
  #snapshotOffered(from: NodeId): void {
    if (!this.isMember(from)) {
      const address = this.#options.addressOf(from, this.#boots.admittedBoot(from) ?? "");
      if (address === undefined || parseFindableAddress(address) === undefined) return;
      // It may have moved since its last offer.
      const isNews = this.#source?.nodeId !== from || this.#source.address !== address;
      this.#source = { nodeId: from, address };
      if (isNews) this.#peers.update(this.#others);
    }
    this.#snapshotFetch.offered(from);
  }

  /** Another state has taken the place of the store's, and with it come its members. */
  #restored(): void {
    this.#source = undefined;
    this.#driver.restored(this.#storedMembers());
    this.#configurationApplied();
  }

  #storedMembers(): Members {
    const { configuration } = this.#machine;
    return configuration === undefined ? noMembers : this.#decodeMembers(configuration);
  }

  #configurationApplied(): void {
    const before = this.#appliedMembers;
    this.#appliedMembers = this.#storedMembers();
    const gone = this.#appliedMembers.removed
      .map(({ nodeId }) => nodeId)
      .filter((nodeId) => !wasRemoved(before, nodeId));
    if (gone.length > 0) this.#options.removed(gone);
    this.#options.membersChanged();
    this.#ownAddress.check(this.#members.list);
    if (this.isRemoved(this.identity.nodeId)) this.#wasRemoved("the cluster's members were changed");
  }

  /** Ends this node in a moment: who is told something by it meanwhile need not ask again. */
  #wasRemoved(why: string): void {
    if (this.#isRemoved) return;
    this.#isRemoved = true;
    const { env, config, failed } = this.#options;
    const text =
      `Node ${this.identity.nodeId} was removed from the cluster ${this.identity.clusterId} (${why}): it stops. To use ` +
      `this server again, empty "${config.dataDir}" and start it with --join`;
    env.clock.after(removedLingerMs, () => failed(new KvraftError("IDENTITY", text)));
  }

  #addressOf(nodeId: NodeId | undefined): string {
    const member = this.#members.list.find((each) => each.nodeId === nodeId);
    return member === undefined ? "" : this.#whereabouts.addressOf(member);
  }

  #decodeMembers(data: Bytes): Members {
    try {
      return decodeMembers(data);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw corruptLog(this.#options.config.dataDir, error.message);
    }
  }
}
