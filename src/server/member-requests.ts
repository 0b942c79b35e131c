import type { Clock } from "../env/clock.ts";
import { parseAddress } from "../lib/address.ts";
import { type ByteReader, DecodeError } from "../lib/codec.ts";
import type { Raft } from "../raft/raft.ts";
import type { ChangeResult } from "../raft/raft-options.ts";
import type { NodeId } from "../raft/types.ts";
import { noId } from "../rpc/hello.ts";
import { type ChangeMembers, decodeChangeMembers, decodeJoin } from "../rpc/member-requests.ts";
import { method } from "../rpc/method.ts";
import type { Driver } from "./driver.ts";
import { learnerLagEntriesMax, membersMax, memberWaitersMax } from "./limits.ts";
import { encodeMembers, type Member, type Members } from "./members.ts";
import { afterJoint, isJoint, withAddress, withLearner, withVoters } from "./membership.ts";
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
  progress(): {
    nodeId: string;
    address: string;
    role: string;
    match?: number;
    lag?: number;
    active?: boolean;
  }[] {
    const { raft, members, nodeId } = this.#options;
    const { last, durable } = raft.getState();
    return members().list.map((member) => {
      if (!raft.isLeader) return member;
      const progress = raft.progress.get(member.nodeId);
      const match = member.nodeId === nodeId ? durable : (progress?.match ?? 0);
      const active = member.nodeId === nodeId || progress?.isHeard === true;
      return { ...member, match, lag: last.index - match, active };
    });
  }

  #membersJson(): string {
    const { clusterId, leaderAddress } = this.#options;
    return JSON.stringify({ clusterId, leader: leaderAddress(), members: this.progress() });
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
    const isMade = () => isAsWanted(members(), change);
    const settle = () => {
      if (!isMade() || isJoint(members()) || !this.#options.raft.isSettled) return false;
      replies.answer(replyTo, "OK");
      return true;
    };
    const lost = () => replies.unknown(replyTo, "This node lost the leadership before the change was over");
    if (!isMade()) {
      const problem = this.#problemOf(change);
      if (problem !== undefined) return replies.refuse(replyTo, "ErrMembers", problem);
      if (!this.#propose(replyTo, withVoters(members(), change))) return;
    }
    this.#wait({ replyTo, deadlineMs, settle, lost });
  }

  #transfer(replyTo: ReplyTo, to: string, deadlineMs: number): void {
    const { raft, driver, replies, nodeId } = this.#options;
    if (to === nodeId) return replies.answer(replyTo, "OK");
    if (!driver.transferLeadership(to === noId ? undefined : (to as NodeId)))
      return replies.refuse(
        replyTo,
        "ErrMembers",
        to === noId
          ? "There is no other voter to lead"
          : `Node ${to} is no voter that can be reached; see "kvraft member list"`,
      );
    const settle = () => {
      if (raft.isTransferring) return false;
      replies.refuse(
        replyTo,
        "ErrMembers",
        "The other node did not take over in time; this one goes on leading",
      );
      return true;
    };
    this.#wait({ replyTo, deadlineMs, settle, lost: () => replies.answer(replyTo, "OK") });
  }

  #join(replyTo: ReplyTo, nodeId: NodeId, address: string, deadlineMs: number): void {
    const { members, replies, clusterId, raft } = this.#options;
    const { list, removed } = members();
    const found = () => members().list.find((member) => member.nodeId === nodeId);
    const isThere = () => found()?.address === address;
    const owner = list.find((member) => member.address === address && member.nodeId !== nodeId);
    if (removed.includes(nodeId))
      return replies.refuse(
        replyTo,
        "ErrMembers",
        `Node ${nodeId} was removed from the cluster; start with an empty folder`,
      );
    if (owner !== undefined)
      return replies.refuse(
        replyTo,
        "ErrMembers",
        `${address} is the address of the member ${owner.nodeId}; if that one is gone, run "kvraft member remove ` +
          `${owner.nodeId}" first`,
      );
    if (found() === undefined && list.length >= membersMax)
      return replies.refuse(
        replyTo,
        "ErrMembers",
        `The cluster has ${list.length} members already; remove those that are gone with "kvraft member remove"`,
      );
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

  /** What speaks against a change, before anything is begun. */
  #problemOf({ promote, remove }: ChangeMembers): string | undefined {
    const progress = this.progress();
    for (const id of promote) {
      const member = progress.find(({ nodeId }) => nodeId === id);
      if (member === undefined)
        return `Node ${id} is no member; start it with "kvraft server cfg.yml --join HOST:PORT" first`;
      if (remove.includes(id)) return `Node ${id} cannot be promoted and removed at once`;
      if (member.role === "learner" && (member.lag ?? 0) > learnerLagEntriesMax)
        return `Node ${id} is ${member.lag} entries behind; wait until it has caught up`;
    }
    const after = afterJoint(withVoters(this.#options.members(), { promote, remove }));
    const voters = progress.filter(({ nodeId }) => after.incoming.includes(nodeId as NodeId));
    const active = voters.filter((member) => member.active).length;
    if (voters.length === 0) return "Nobody would be left to vote";
    if (active <= voters.length / 2)
      return `Only ${active} of the ${voters.length} voters that there would be can be reached: nothing could be decided`;
    return undefined;
  }

  #propose(replyTo: ReplyTo, wanted: Members): boolean {
    const { members, replies, driver } = this.#options;
    // It is decided and about to be left, in this turn: nothing is wrong with what is asked for.
    if (isJoint(members())) {
      replies.refuse(replyTo, "ErrBusy", "Cannot change the members: another change is under way");
      return false;
    }
    const result = driver.changeConfiguration(encodeMembers(wanted));
    if (!result.ok) this.#refuseChange(replyTo, result);
    return result.ok;
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

/** Whether this change was begun or made: nobody that was to go decides beyond it, and everybody that was to come does. */
function isAsWanted({ list }: Members, { promote, remove }: ChangeMembers): boolean {
  const roleOf = (id: string): Member["role"] | undefined => list.find(({ nodeId }) => nodeId === id)?.role;
  return (
    promote.every((id) => roleOf(id) === "voter" || roleOf(id) === "incoming") &&
    remove.every((id) => roleOf(id) === undefined || roleOf(id) === "outgoing")
  );
}
