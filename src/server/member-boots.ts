import type { Clock } from "../env/clock.ts";
import { type BootRow, encodeBoots } from "../kv/boots.ts";
import { encodeCommand } from "../kv/command.ts";
import type { StateMachine } from "../kv/state-machine.ts";
import { emptyBytes } from "../lib/bytes.ts";
import { type ByteReader, ByteWriter } from "../lib/codec.ts";
import { KvraftError } from "../lib/error.ts";
import { isQuorum, isRefused, isVoter } from "../raft/quorum.ts";
import type { Raft } from "../raft/raft.ts";
import type { Configuration, Index, Message, NodeId } from "../raft/types.ts";
import type { Boot, ProcessStart, RefusalCode } from "../rpc/hello.ts";
import { Admission } from "./admission.ts";
import { decodeBootMessage } from "./boot-messages.ts";
import type { DataFolder } from "./data-folder.ts";
import type { Driver } from "./driver.ts";
import type { ProcessLinks } from "./process-links.ts";

export interface MemberBootsOptions {
  readonly clock: Clock;
  readonly nodeId: NodeId;
  readonly dataDir: string;
  readonly folder: DataFolder;
  readonly raft: Raft;
  readonly machine: StateMachine;
  readonly driver: () => Driver;
  readonly silenceMs: number;
  readonly isMember: (nodeId: NodeId) => boolean;
  /** `host:port` of a member, or its id. */
  readonly nameOf: (nodeId: NodeId) => string;
  readonly links: ProcessLinks;
  /** From now on this process counts. */
  readonly admitted: (nodeId: NodeId, bootId: string) => void;
  readonly log: (level: "warn" | "info", line: string) => void;
  readonly failed: (error: KvraftError) => void;
}

/** So many nodes are believed to be worth a line. */
const tellersMax = 16;
/** A refused process has so long (ms) to read why, before its connections end. */
const hangUpAfterMs = 100;
/** Ticks between two writes of what was acknowledged and decided: each time would take from the log's syncs. */
const indexEveryTicks = 2;

/**
 * What a member makes of boots: which messages count, what is remembered before they do, what the replicated state is to
 * remember, and what becomes of a folder that went back in time. Admission says who counts.
 */
export class MemberBoots {
  /** What this node's hellos say. */
  readonly start: ProcessStart;
  readonly #options: MemberBootsOptions;
  readonly #admission: Admission;
  /** Members that refuse this process, by what they said. */
  readonly #refusedBy = new Map<NodeId, string>();
  readonly #toldToWait = new Set<NodeId>();
  /** Refused processes that were told why. */
  readonly #told = new Set<string>();
  /** Nodes that have dialled this process to say that they refuse it. */
  readonly #toldOfRefusal = new Set<NodeId>();
  #isCondemned = false;
  #ticks = 0;
  /** The term in which this node has proposed what it knows, and the boots that it has proposed in it. */
  #proposedTerm = 0;
  #isProposalDue = true;
  #seenChanges = -1;

  constructor(options: MemberBootsOptions) {
    const { clock, folder, raft, silenceMs, isMember, links } = options;
    this.#options = options;
    const { term, last } = raft.getState();
    this.start = { boot: folder.boots.boot, term, index: last.index };
    this.#admission = new Admission({
      ...{ clock, boots: folder.boots, memory: folder.memory, silenceMs, isMember },
      send: (nodeId, bootId, message) => links.send(nodeId, bootId, message),
      isConnected: (nodeId, bootId) => links.isConnected(nodeId, bootId),
      replicated: (nodeId) => this.#replicated(nodeId),
      ended: (nodeId) => this.#ended(nodeId),
      admitted: (nodeId, boot) => this.#admitted(nodeId, boot),
      refused: (nodeId, bootId, text) => this.#refused(nodeId, bootId, text),
      waits: (by) => this.#waits(by),
      log: (line) => options.log("warn", line),
    });
  }

  // ---- connections ----

  /** Why a process that dials this node is refused, or undefined: then it is to be told of by `met`. */
  refusalOf(nodeId: NodeId, bootId: string): { code: RefusalCode; text: string } | undefined {
    const text = this.#admission.refusalOf(nodeId, bootId);
    if (text === undefined) return undefined;
    return { code: this.#mayCondemn ? "condemned" : "boot", text };
  }

  met(nodeId: NodeId, start: ProcessStart): void {
    this.#admission.met(nodeId, start);
  }

  counts(nodeId: NodeId, bootId: string): boolean {
    return this.#admission.counts(nodeId, bootId);
  }

  admittedBoot(nodeId: NodeId): string | undefined {
    return this.#admission.admittedBoot(nodeId)?.id;
  }

  heard(from: NodeId, bootId: string, reader: ByteReader): void {
    const message = decodeBootMessage(reader);
    if (message.kind === "refused") this.#isToldOfRefusal(from, message.text);
    else this.#admission.heard(from, bootId, message);
  }

  /** A member that this node has dialled lets it in; returns whether this node talks to it. */
  answered(nodeId: NodeId, start: ProcessStart | undefined): boolean {
    this.#refusedBy.delete(nodeId);
    // Without a start it has yet to learn that its cluster is formed, and will be dialled again.
    if (start === undefined) return false;
    const refusal = this.refusalOf(nodeId, start.boot.id);
    if (refusal === undefined) this.met(nodeId, start);
    else if (this.#told.has(start.boot.id)) return false;
    else this.#options.clock.soon(() => this.#tellRefusal(nodeId, start.boot.id, refusal.text));
    return true;
  }

  /** A member that this node has dialled refuses this process; `isFinal` if it leads, and has committed in its term. */
  refusedBy(nodeId: NodeId, isFinal: boolean, text: string): void {
    const { raft, nameOf, log } = this.#options;
    const isNews = !this.#refusedBy.has(nodeId);
    this.#refusedBy.set(nodeId, text);
    const isMajority = isQuorum(raft.configuration, (id) => this.#refusedBy.has(id));
    if (isFinal && isVoter(raft.configuration, nodeId))
      this.#condemn(`The leader, ${nameOf(nodeId)}, says: ${text}`);
    else if (isMajority) this.#condemn(`A majority of the voters says: ${text}`);
    else if (isNews)
      log(
        "warn",
        `${nameOf(nodeId)} refuses this process, and they count nothing of each other: ${text}. ${wayOn(this.#options)}`,
      );
  }

  // ---- messages ----

  /**
   * Whether a message may be handed to the core now. One that counts only when something of it is remembered durably is
   * handed to `later` then.
   */
  mayStep(message: Message, bootId: string, later: (message: Message) => void): boolean {
    const { memory } = this.#options.folder;
    const { from, term } = message;
    if (!this.counts(from, bootId)) return false;
    if (message.kind === "heartbeat") {
      memory.noteIndex(from, message.held ?? 0);
      return true;
    }
    if (isOwnTerm(message)) memory.noteTerm(from, term);
    else if (vouches(message) && !memory.noteTerm(from, term)) {
      memory.whenDurable(() => {
        if (this.counts(from, bootId)) later(message);
      });
      return false;
    }
    return true;
  }

  /**
   * Whether a message may leave now. What binds this node to the receiver's term leaves when that term is remembered: it
   * is written beside the log, and `later` is called then.
   */
  maySend(message: Message, later: (message: Message) => void): boolean {
    const { memory } = this.#options.folder;
    if (!vouches(message) || memory.noteTerm(message.to, message.term)) return true;
    memory.whenDurable(() => later(message));
    return false;
  }

  // ---- time ----

  /** At the end of each turn. */
  turn(): void {
    const { raft, machine } = this.#options;
    if (raft.isLeader) {
      const { commit } = raft.getState();
      for (const nodeId of raft.progress.keys()) this.#noteProgress(nodeId, commit);
    }
    if (this.#seenChanges !== machine.bootsChanges) {
      this.#seenChanges = machine.bootsChanges;
      for (const nodeId of machine.boots.keys()) this.#admission.replicatedChanged(nodeId as NodeId);
    }
  }

  /** Every few ms. */
  tick(): void {
    this.#admission.tick();
    // Not in each turn: a proposal that is refused would make the next one follow.
    const { raft } = this.#options;
    if (raft.isLeader && (this.#isProposalDue || this.#proposedTerm !== raft.term)) this.#propose();
    if (++this.#ticks % indexEveryTicks === 0) this.#options.folder.memory.flush();
  }

  // ---- inside ----

  get #mayCondemn(): boolean {
    return this.#options.driver().isReady;
  }

  #replicated(nodeId: NodeId): Boot | undefined {
    return this.#options.machine.boots.get(nodeId);
  }

  #noteProgress(nodeId: NodeId, commit: Index): void {
    const { raft, folder } = this.#options;
    const match = raft.progress.get(nodeId)?.match ?? 0;
    if (match > 0) folder.memory.noteIndex(nodeId, Math.min(match, commit));
  }

  #ended(nodeId: NodeId): void {
    const { raft } = this.#options;
    this.#noteProgress(nodeId, raft.getState().commit);
    raft.forget(nodeId);
  }

  #admitted(nodeId: NodeId, boot: Boot): void {
    this.#isProposalDue = true;
    const { log, links, admitted, driver, isMember } = this.#options;
    // Whoever says hello under any other name counts nowhere, and could fill the log.
    if (isMember(nodeId)) log("info", `node ${nodeId} counts by its start ${boot.number} (${boot.id})`);
    // That a connection with an earlier process is gone would show when something is sent on it, and nothing is any more.
    links.hangUp(nodeId, (id) => id !== boot.id, "the node has started again");
    admitted(nodeId, boot.id);
    driver().schedule();
  }

  /** New members have met no earlier process: so the state remembers who was admitted. */
  #propose(): void {
    const { raft, nodeId, driver, isMember } = this.#options;
    if (!driver().isReady) return;
    const boots = new Map<string, BootRow>();
    for (const id of [nodeId, ...raft.progress.keys()]) {
      const boot = id === nodeId ? this.start.boot : this.#admission.admittedBoot(id);
      if (boot === undefined || !isMember(id) || boot.number <= (this.#replicated(id)?.number ?? 0)) continue;
      boots.set(id, boot);
    }
    if (boots.size > 0) {
      const writer = new ByteWriter();
      encodeCommand(writer, {
        type: "boots",
        timeMs: 0, // It moves no time.
        session: undefined,
        principal: emptyBytes,
        boots: encodeBoots(boots),
      });
      // A leader that is busy tries it again.
      if (!driver().start(writer.take()).ok) return;
    }
    this.#isProposalDue = false;
    this.#proposedTerm = raft.term;
  }

  #refused(nodeId: NodeId, bootId: string, text: string): void {
    const { log, nameOf, raft } = this.#options;
    log("warn", `Refused ${nameOf(nodeId)}: ${text}. ${wayOn({ nodeId, dataDir: undefined })}`);
    const isGone = (id: NodeId) => this.#admission.isRefused(id) && this.admittedBoot(id) === undefined;
    if (isRefused(raft.configuration, isGone)) log("warn", wayOut(raft.configuration, isGone));
    this.#tellRefusal(nodeId, bootId, text);
  }

  /** A folder that was set back far may know no address at which anybody is left to refuse it. */
  #tellRefusal(nodeId: NodeId, bootId: string, text: string): void {
    const { clock, links } = this.#options;
    if (this.#told.size >= tellersMax) this.#told.clear();
    if (links.send(nodeId, bootId, { kind: "refused", text })) this.#told.add(bootId);
    // A connection that is cut off takes along what was sent on it last.
    clock.after(hangUpAfterMs, () =>
      links.hangUp(nodeId, (id) => id === bootId, "its data folder went back in time"),
    );
  }

  /** Whoever says so may be anybody: people are told, and nothing else comes of it. */
  #isToldOfRefusal(by: NodeId, text: string): void {
    const { log, nameOf } = this.#options;
    if (this.#refusedBy.has(by) || this.#toldOfRefusal.has(by) || this.#toldOfRefusal.size >= tellersMax)
      return;
    this.#toldOfRefusal.add(by);
    log("warn", `${nameOf(by)} says that it refuses this process: ${text}. ${wayOn(this.#options)}`);
  }

  #waits(by: NodeId): void {
    if (this.#toldToWait.has(by)) return;
    this.#toldToWait.add(by);
    const { nodeId, log, nameOf, dataDir } = this.#options;
    log(
      "warn",
      `${nameOf(by)} is in touch with another process that is node ${nodeId}: this one waits until that has ended. If ` +
        `"${dataDir}" is a copy of its data folder, stop this server and never start it again`,
    );
  }

  #condemn(why: string): void {
    if (this.#isCondemned) return;
    this.#isCondemned = true;
    const { folder, nodeId, dataDir, failed } = this.#options;
    const text = `Cannot go on as node ${nodeId} with "${dataDir}". ${why}. ${wayOn(this.#options)}`;
    folder.condemn("boots", text);
    failed(new KvraftError("IDENTITY", text));
  }
}

/** The sender is in this term by itself, and has stored that: it votes for itself, or was elected. */
function isOwnTerm(message: Message): boolean {
  return (message.kind === "request-vote" && !message.preVote) || message.kind === "append-entries";
}

/** What must not be said, or counted, and then forgotten. */
function vouches(message: Message): boolean {
  if (message.kind === "request-vote-reply") return message.granted && !message.preVote;
  return message.kind === "append-entries-reply" && message.accepted;
}

function wayOn({
  nodeId,
  dataDir,
}: {
  readonly nodeId: NodeId;
  readonly dataDir: string | undefined;
}): string {
  const folder = dataDir === undefined ? "this folder" : `"${dataDir}"`;
  return (
    "It must not vote, or acknowledged writes would be lost. If the folder that ran last still exists, start the server " +
    `with that one. Else empty ${folder}, start the server with --join HOST:PORT of a member, and run ` +
    `"kvraft member replace ${nodeId}=NEWID"`
  );
}

function wayOut({ incoming, outgoing }: Configuration, isGone: (id: NodeId) => boolean): string {
  const voters = [...new Set([...incoming, ...outgoing])];
  const left = voters.filter((id) => !isGone(id)).length;
  return (
    `Only ${left} of ${voters.length} voters are left that count each other, which is no majority: this cluster ` +
    "cannot go on by itself. Stop all servers, save the most advanced folder (the one whose log ends last, see " +
    '"kvraft doctor") with "kvraft snapshot save FILE --data-dir FOLDER", and restore it into empty folders with ' +
    '"kvraft snapshot restore"'
  );
}
