import type { Clock } from "../env/clock.ts";
import type { Status } from "../kv/status.ts";
import { parseAddress, parseFindableAddress } from "../lib/address.ts";
import { type ByteReader, DecodeError } from "../lib/codec.ts";
import type { Raft } from "../raft/raft.ts";
import type { ChangeResult } from "../raft/raft-options.ts";
import type { NodeId } from "../raft/types.ts";
import { noId } from "../rpc/hello.ts";
import { type ChangeMembers, decodeChangeMembers, decodeJoin } from "../rpc/member-requests.ts";
import { method } from "../rpc/method.ts";
import { type SentState, whyBehind } from "./caught-up.ts";
import type { Driver } from "./driver.ts";
import { membersMax, memberWaitersMax } from "./limits.ts";
import { planChange } from "./member-change.ts";
import { encodeMembers, type Members, wasRemoved } from "./members.ts";
import { afterJoint, isJoint, type VoterChange, withAddress, withLearner, withVoters } from "./membership.ts";
import type { Replies, ReplyTo } from "./replies.ts";

/** Somebody who waits until the cluster is as it was asked to be. */
interface Waiting {
  readonly replyTo: ReplyTo;
  readonly deadlineMs: number;
  /** Answers when it is over, one way or the other, and returns whether it is. */
  readonly settle: () => boolean;
  /** What is said when the leadership is lost first. */
  readonly lost: () => void;
}

export interface MemberRequestsOptions {
  readonly clock: Clock;
  readonly clusterId: string;
  readonly nodeId: NodeId;
  /** Where this node listens. */
  readonly address: string;
  readonly raft: Raft;
  readonly driver: Driver;
  readonly replies: Replies;
  /** In force. */
  readonly members: () => Members;
  readonly leaderAddress: () => string;
  /** About how many bytes of this node's log the entries after this one take. */
  readonly logBytesAfter: (index: number) => number;
  /** What was sent of the state that this member fetches from here. */
  /** Where the process that counts as that node says that it is found. */
  readonly saidBy: (nodeId: NodeId) => string | undefined;
  readonly stateSentTo: (nodeId: NodeId) => SentState | undefined;
}

/** A member, and what only the leader knows of it. */
export interface MemberProgress {
  readonly nodeId: NodeId;
  readonly address: string;
  readonly role: string;
  readonly match?: number;
  readonly lag?: number;
  readonly lagBytes?: number;
  /** Of a learner: why it cannot become a voter yet. */
  readonly behind?: string;
  readonly active?: boolean;
}

/**
 * The service of those who run the cluster: who is a member, who leads. The leader makes each change in the steps of
 * joint consensus and says when it is over; a change that another leader began is ended by the present one.
 */
export class MemberRequests {
  readonly #options: MemberRequestsOptions;
  #waiting: Waiting[] = [];
  /** Requests that wait for a quorum to confirm the leadership, by the context of the read that asks for it. */
  readonly #confirming = new Map<number, { readonly replyTo: ReplyTo; readonly run: () => void }>();
  #context = 0;

  constructor(options: MemberRequestsOptions) {
    this.#options = options;
  }

  /** Returns whether the request is one of these. Throws DecodeError. */
  dispatch(replyTo: ReplyTo, reader: ByteReader, remainingMs: number): boolean {
    const deadlineMs = this.#options.clock.monotonicMs() + remainingMs;
    switch (replyTo.method) {
      case method.members:
        this.#options.replies.answer(replyTo, "OK", (body) => body.text(this.#membersJson()));
        return true;
      case method.changeMembers: {
        const change = decodeChangeMembers(reader);
        this.#asLeader(replyTo, () => this.#change(replyTo, change, deadlineMs));
        return true;
      }
      case method.transferLeader: {
        const to = reader.id();
        reader.end();
        this.#asLeader(replyTo, () => this.#transfer(replyTo, to, deadlineMs));
        return true;
      }
      case method.join: {
        const { nodeId, address } = decodeJoin(reader);
        if (parseAddress(address) === undefined) throw new DecodeError("it names no address");
        if (parseFindableAddress(address) === undefined) {
          const text = `Nobody can find a server at ${address}, which means all addresses of a machine; set its ip`;
          this.#options.replies.refuse(replyTo, "ErrMembers", text);
          return true;
        }
        this.#asLeader(replyTo, () => this.#join(replyTo, nodeId as NodeId, address, deadlineMs));
        return true;
      }
      default:
        return false;
    }
  }

  /** Once per turn: goes on with a change under way, and answers whose wish has come true. */
  turn(): void {
    this.#leaveJoint();
    this.#moveMyself();
    if (this.#waiting.length > 0) this.#waiting = this.#waiting.filter((waiting) => !waiting.settle());
  }

  expire(): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#waiting = this.#waiting.filter(({ replyTo, deadlineMs }) => {
      if (deadlineMs > nowMs) return true;
      this.#options.replies.unknown(replyTo, "The change is not over yet, and goes on");
      return false;
    });
  }

  /** A quorum has confirmed this context; returns whether it was one of these. */
  readable(context: number): boolean {
    const asked = this.#confirming.get(context);
    if (asked === undefined) return false;
    this.#confirming.delete(context);
    asked.run();
    return true;
  }

  lostLeadership(): void {
    for (const { replyTo } of this.#confirming.values()) this.#options.replies.refuseAsFollower(replyTo);
    this.#confirming.clear();
    for (const { lost } of this.#waiting) lost();
    this.#waiting = [];
  }

  /** The others, as the leader knows them: for people. */
  followers(): Record<string, unknown>[] {
    const { raft, nodeId } = this.#options;
    return this.progress()
      .filter((member) => member.nodeId !== nodeId)
      .map((member) => ({ ...member, state: raft.progress.get(member.nodeId as NodeId)?.state }));
  }

  /** Members, and what the leader knows of each. */
  progress(): MemberProgress[] {
    const { raft, members, nodeId, logBytesAfter, stateSentTo } = this.#options;
    const { last, durable } = raft.getState();
    return members().list.map((member) => {
      if (!raft.isLeader) return member;
      const progress = raft.progress.get(member.nodeId);
      const match = member.nodeId === nodeId ? durable : (progress?.match ?? 0);
      const active = member.nodeId === nodeId || progress?.isHeard === true;
      const [lag, lagBytes] = [last.index - match, logBytesAfter(match)];
      const known = { ...member, match, lag, lagBytes, active };
      if (member.role !== "learner") return known;
      const behind = whyBehind({ progress, lag, lagBytes, sent: stateSentTo(member.nodeId) });
      return behind === undefined ? known : { ...known, behind };
    });
  }

  #membersJson(): string {
    const { clusterId, leaderAddress, members, raft } = this.#options;
    const said = { clusterId, leader: leaderAddress(), leaderId: raft.leader };
    return JSON.stringify({ ...said, members: this.progress(), removed: members().removed });
  }

  /**
   * Runs it when a quorum has confirmed that this node leads: one that was deposed and does not know it would speak of
   * members that are no more, and its word is final.
   */
  #asLeader(replyTo: ReplyTo, run: () => void): void {
    const { driver, replies } = this.#options;
    if (this.#confirming.size + this.#waiting.length >= memberWaitersMax)
      return replies.refuseAsBusy(replyTo);
    // Negative: those of the clients' reads count up.
    const context = --this.#context;
    if (!driver.isReady || !driver.readIndex(context)) return replies.refuseAsFollower(replyTo);
    this.#confirming.set(context, { replyTo, run });
    driver.schedule();
  }

  #change(replyTo: ReplyTo, change: ChangeMembers, deadlineMs: number): void {
    const { members, replies } = this.#options;
    const plan = planChange(members(), change);
    if (plan.kind !== "done") {
      // What is not decided yet may still be lost: nothing final is said of it.
      if (this.#isChanging) return this.#refuseAsChanging(replyTo);
      if (plan.kind === "refused") return replies.refuse(replyTo, "ErrMembers", plan.text);
      if (!this.#begin(replyTo, plan)) return;
    }
    const settle = () => {
      if (this.#isChanging || planChange(members(), change).kind !== "done") return false;
      replies.answer(replyTo, "OK");
      return true;
    };
    const lost = () => replies.unknown(replyTo, "This node lost the leadership before the change was over");
    this.#wait({ replyTo, deadlineMs, settle, lost });
  }

  /** Whether a change of the members is not over yet. */
  get #isChanging(): boolean {
    return isJoint(this.#options.members()) || !this.#options.raft.isSettled;
  }

  #begin(replyTo: ReplyTo, change: VoterChange): boolean {
    const { members, replies } = this.#options;
    const wanted = withVoters(members(), change);
    const after = afterJoint(wanted).incoming;
    const progress = this.progress();
    const behind = progress.find(
      ({ nodeId, behind: why }) => why !== undefined && change.promote.includes(nodeId),
    );
    const active = progress.filter((member) => member.active && after.includes(member.nodeId)).length;
    if (after.length === 0) replies.refuse(replyTo, "ErrMembers", "Nobody would be left to vote");
    else if (behind !== undefined)
      replies.refuse(
        replyTo,
        "ErrBehind",
        `Cannot make a voter of ${behind.address} (${behind.nodeId}) yet: ${behind.behind}; wait until it has caught up`,
      );
    else if (active <= after.length / 2)
      replies.refuse(
        replyTo,
        "ErrMembers",
        `Only ${active} of the ${after.length} voters that there would be can be reached: nothing could be decided`,
      );
    else return this.#propose(replyTo, wanted);
    return false;
  }

  #transfer(replyTo: ReplyTo, to: string, deadlineMs: number): void {
    const { raft, driver, replies, nodeId } = this.#options;
    if (to === nodeId) return replies.answer(replyTo, "OK");
    if (!driver.transferLeadership(to === noId ? undefined : (to as NodeId)))
      return replies.refuse(replyTo, "ErrMembers", this.#whyNoTransfer(to));
    const settle = () => {
      if (raft.isTransferring) return false;
      replies.refuse(
        replyTo,
        "ErrMembers",
        "The other node did not take over in time; this one goes on leading",
      );
      return true;
    };
    // Another one than the named one may lead now: who asked asks that one.
    const lost = () =>
      to === noId
        ? replies.answer(replyTo, "OK")
        : replies.unknown(
            replyTo,
            "This node does not lead any more, and does not know whether that one does",
          );
    this.#wait({ replyTo, deadlineMs, settle, lost });
  }

  #whyNoTransfer(to: string): string {
    const { members } = this.#options;
    if (to === noId) return "There is no other voter that can be reached to lead";
    const member = members().list.find(({ nodeId }) => nodeId === to);
    const cannot = `Cannot hand over to ${member === undefined ? to : `${member.address} (${to})`}`;
    if (member === undefined)
      return `${cannot}: it ${wasRemoved(members(), to) ? "was removed from the cluster" : "is no member"}`;
    if (member.role === "learner")
      return `${cannot}: it is a learner, and only a voter can lead; make it one with "kvraft member add"`;
    if (member.role === "outgoing") return `${cannot}: it is being removed`;
    return `${cannot}: the leader has not heard of it lately`;
  }

  #join(replyTo: ReplyTo, nodeId: NodeId, address: string, deadlineMs: number): void {
    const { members, replies, clusterId, raft } = this.#options;
    const found = () => members().list.find((member) => member.nodeId === nodeId);
    const isThere = () => found()?.address === address;
    const refusal = this.#whyNotLetIn(nodeId, address);
    if (refusal !== undefined) return replies.refuse(replyTo, refusal.status, refusal.text);
    const wanted =
      found() === undefined
        ? withLearner(members(), nodeId, address)
        : withAddress(members(), nodeId, address);
    if (!isThere() && !this.#propose(replyTo, wanted)) return;
    const settle = () => {
      if (!raft.isSettled || !isThere()) return false;
      replies.answer(replyTo, "OK", (body) => body.id(clusterId));
      return true;
    };
    const lost = () => replies.unknown(replyTo, "This node lost the leadership before it was over");
    this.#wait({ replyTo, deadlineMs, settle, lost });
  }

  /**
   * A member may be anywhere, also where another one is or was: it is known by its id. A new server is not let in while the
   * member at its address is heard: most likely two servers were told the same address, and nobody would find both.
   */
  #whyNotLetIn(nodeId: NodeId, address: string): { status: Status; text: string } | undefined {
    const { members, raft } = this.#options;
    if (wasRemoved(members(), nodeId)) {
      const text = `Node ${nodeId} was removed from the cluster; start with an empty folder`;
      return { status: raft.isSettled ? "ErrMembers" : "ErrBusy", text };
    }
    const progress = this.progress();
    const member = progress.find((each) => each.nodeId === nodeId);
    if (member !== undefined) return this.#whyNotMoved(member, address);
    if (progress.length >= membersMax) {
      const text =
        `The cluster has ${progress.length} members already; remove those that are gone with ` +
        '"kvraft member remove"';
      return { status: "ErrMembers", text };
    }
    const owner = progress.find((member) => member.address === address && member.active);
    if (owner === undefined) return undefined;
    const text =
      `The member ${owner.nodeId} is at ${address} and was heard of lately; give this server another address, or wait ` +
      "until that one is gone";
    return { status: "ErrBusy", text };
  }

  /** While a process counts as the node it alone moves it: no copy of its folder does, and no stranger. */
  #whyNotMoved(member: MemberProgress, address: string): { status: Status; text: string } | undefined {
    const said = this.#options.saidBy(member.nodeId as NodeId);
    if (member.address === address || said === undefined || said === address) return undefined;
    const text = `The process that counts as node ${member.nodeId} says that it is found at ${said}, not at ${address}`;
    return { status: "ErrBusy", text };
  }

  #propose(replyTo: ReplyTo, wanted: Members): boolean {
    const { members, driver } = this.#options;
    // It is decided and about to be left, in this turn: nothing is wrong with what is asked for.
    if (isJoint(members())) {
      this.#refuseAsChanging(replyTo);
      return false;
    }
    const result = driver.changeConfiguration(encodeMembers(wanted));
    if (!result.ok) this.#refuseChange(replyTo, result);
    return result.ok;
  }

  #refuseAsChanging(replyTo: ReplyTo): void {
    this.#options.replies.refuse(
      replyTo,
      "ErrBusy",
      "Cannot change the members: another change is under way",
    );
  }

  #refuseChange(replyTo: ReplyTo, result: ChangeResult & { ok: false }): void {
    const { replies } = this.#options;
    if (result.reason === "not-leader") replies.refuseAsFollower(replyTo);
    else
      replies.refuse(
        replyTo,
        result.reason === "busy" ? "ErrBusy" : "ErrMembers",
        `Cannot change the members: ${result.text}`,
      );
  }

  /** The second half of a change (paper 6): as soon as the joint configuration is committed, whoever began it. */
  #leaveJoint(): void {
    const { raft, driver, members } = this.#options;
    // While the office is handed over it would be refused, turn after turn: the next leader ends it, or this one later.
    const mayChange = driver.isReady && raft.isSettled && !raft.isTransferring;
    if (mayChange && isJoint(members())) driver.changeConfiguration(encodeMembers(afterJoint(members())));
  }

  /** Nobody else can do it for a leader that was started at another address. */
  #moveMyself(): void {
    const { raft, driver, members, nodeId, address } = this.#options;
    if (!driver.isReady || !raft.isSettled || isJoint(members())) return;
    const own = members().list.find((member) => member.nodeId === nodeId);
    if (own !== undefined && own.address !== address)
      driver.changeConfiguration(encodeMembers(withAddress(members(), nodeId, address)));
  }

  #wait(waiting: Waiting): void {
    if (waiting.settle()) return;
    if (this.#waiting.length >= memberWaitersMax) this.#options.replies.refuseAsBusy(waiting.replyTo);
    else this.#waiting.push(waiting);
  }
}
