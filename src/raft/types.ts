import type { Bytes } from "../lib/bytes.ts";

/** A node's identity: 64 random bits as 16 hexadecimal digits, in print and as a key. */
export type NodeId = string & { readonly brand: "node" };
/** 0 before the first election; the first entry of a formed cluster has term 1. */
export type Term = number;
/** The last term: no message names a later one, and nobody campaigns for one. Far below 2^53, where numbers get inexact. */
export const termMax = 2 ** 52;
/** The last place of a log that a message may name: what comes behind it can be counted for as long as anybody lives. */
export const indexMax = 2 ** 52;
/** The place of an entry in the log. The first entry has index 1; 0 is the empty log's last index. */
export type Index = number;

/** Names one entry: at most one leader per term, and a leader never reuses an index (paper 5.3). */
export interface EntryId {
  readonly term: Term;
  readonly index: Index;
}

/** `command` is opaque to Raft; `noop` starts a leader's term; `config` holds an encoded configuration. */
export type EntryKind = "noop" | "command" | "config";

export interface Entry extends EntryId {
  readonly kind: EntryKind;
  readonly data: Bytes;
}

/**
 * What must survive a restart (paper figure 2, persistent state). `commit` is a hint that spares a restarted node
 * from waiting for a leader before it applies what was decided; it never forces a write of its own.
 */
export interface HardState {
  readonly term: Term;
  readonly vote: NodeId | undefined;
  readonly commit: Index;
}

/**
 * Who decides. `outgoing` is empty but for the time of a joint configuration (paper 6), in which a decision needs a
 * majority of both. Learners are sent the log and have no say (thesis 4.2.1).
 */
export interface Configuration {
  readonly incoming: readonly NodeId[];
  readonly outgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
}

interface Envelope {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly term: Term;
}

/** RequestVote (paper 5.2, 5.4.1). A pre-vote carries the term the sender would campaign in, and changes nothing. */
export interface RequestVote extends Envelope {
  readonly kind: "request-vote";
  readonly preVote: boolean;
  /** The leader itself asked for this campaign (thesis 3.10): that it is heard is no reason to refuse. */
  readonly isTransfer: boolean;
  readonly last: EntryId;
}

/**
 * `term` is the voter's own when it refuses, and the term asked for when it grants. `timeMs` is the voter's wall clock: the
 * core carries times and reads none.
 */
export interface RequestVoteReply extends Envelope {
  readonly kind: "request-vote-reply";
  readonly preVote: boolean;
  readonly granted: boolean;
  timeMs?: number;
}

/** AppendEntries (paper 5.3). `entries` are contiguous and start at prev.index + 1; none of them makes it a probe. */
export interface AppendEntries extends Envelope {
  readonly kind: "append-entries";
  readonly prev: EntryId;
  readonly entries: readonly Entry[];
  readonly commit: Index;
}

/**
 * Accepted: the follower's log equals the leader's up to `index`, durably. Refused: it has no entry (prev) at
 * `index`, and `hint` names the last entry of its own that may still agree.
 */
export interface AppendEntriesReply extends Envelope {
  readonly kind: "append-entries-reply";
  readonly accepted: boolean;
  readonly index: Index;
  readonly hint: EntryId;
}

/** Keeps followers quiet, carries commits, and asks for confirmation of reads (thesis 6.4). Vouches for no entry. */
export interface Heartbeat extends Envelope {
  readonly kind: "heartbeat";
  /** At most what is known to match the leader's log on the receiver. */
  readonly commit: Index;
  /** The leader's read round, unique within its term. */
  readonly context: number;
  /** The leader's lease time. */
  timeMs?: number;
  /** What is decided, and durable at the leader itself: its own copy counts, and only it knows of it. */
  readonly held?: Index;
}

export interface HeartbeatReply extends Envelope {
  readonly kind: "heartbeat-reply";
  readonly context: number;
  /** The follower's wall clock. */
  timeMs?: number;
}

/**
 * InstallSnapshot (paper 7), as an offer: what the receiver needs of the log was dropped up to and with `start`. It
 * fetches a snapshot that reaches at least as far, from whoever has one, and answers as to AppendEntries.
 */
export interface InstallSnapshot extends Envelope {
  readonly kind: "install-snapshot";
  readonly start: EntryId;
}

/** The leader hands over its office: the receiver has its whole log and campaigns at once (thesis 3.10). */
export interface TimeoutNow extends Envelope {
  readonly kind: "timeout-now";
}

export type Message =
  | RequestVote
  | RequestVoteReply
  | AppendEntries
  | AppendEntriesReply
  | Heartbeat
  | HeartbeatReply
  | InstallSnapshot
  | TimeoutNow;

/** Only a term's leader says such a thing. */
export function isFromLeader({ kind }: Message): boolean {
  return (
    kind === "append-entries" || kind === "heartbeat" || kind === "install-snapshot" || kind === "timeout-now"
  );
}

/**
 * One write to the log, to be answered by `wrote(id)` when it is durable. The entries start at most one after the
 * log's last index, and replace everything from their first index on; with a `start` the log begins anew after that
 * entry, and nothing of what it held stays. Messages that vouch for it stay inside the core
 * until then (thesis 3.8).
 */
export interface Write {
  /** Counts up from 1. */
  readonly id: number;
  readonly hardState: HardState | undefined;
  readonly start: EntryId | undefined;
  readonly entries: readonly Entry[];
}

/** A linearizable read may be answered from a state that has applied everything up to `index`. */
export interface ReadState {
  readonly context: number;
  readonly index: Index;
}

/**
 * The log on disk as the core sees it: synchronous, and without what is still being written. The heap holds a
 * bounded tail, never the whole log.
 */
export interface LogView {
  /** Index of the first entry that is kept; lastIndex + 1 when none is. */
  readonly firstIndex: Index;
  readonly lastIndex: Index;
  /**
   * The term at an index from firstIndex - 1 (the entry before the log's start, remembered) to lastIndex;
   * undefined outside. Index 0 has term 0.
   */
  term(index: Index): Term | undefined;
  /**
   * Entries from `from` on, contiguous, as many as fit in `bytesMax` bytes of data but at least one when there is
   * one, and none at or after `limit`.
   */
  slice(from: Index, limit: Index, bytesMax: number): Entry[];
  /** The indexes of the entries that hold a configuration, ascending. */
  readonly configurations: readonly Index[];
}

/** Chance, injected: a whole number in [min, max]. */
export interface Chance {
  int(min: number, max: number): number;
}

export type Role = "follower" | "pre-candidate" | "candidate" | "leader";
