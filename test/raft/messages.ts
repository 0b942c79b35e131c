import { toUtf8 } from "../../src/lib/bytes.ts";
import type {
  AppendEntries,
  AppendEntriesReply,
  Entry,
  Heartbeat,
  HeartbeatReply,
  RequestVote,
  RequestVoteReply,
} from "../../src/raft/types.ts";
import { nodeId } from "./cluster.ts";

export const [n1, n2, n3] = [nodeId(1), nodeId(2), nodeId(3)];

/** Messages as n2 sends them to n1; a test names what matters to it. */
const between = { from: n2, to: n1 };

export function requestVote(fields: Pick<RequestVote, "term"> & Partial<RequestVote>): RequestVote {
  return {
    kind: "request-vote",
    ...between,
    preVote: false,
    isTransfer: false,
    last: { index: 0, term: 0 },
    ...fields,
  };
}

export function voteReply(
  fields: Pick<RequestVoteReply, "term"> & Partial<RequestVoteReply>,
): RequestVoteReply {
  return { kind: "request-vote-reply", ...between, preVote: false, granted: true, ...fields };
}

/** `prev` is written as [index, term], `terms` are the terms of the entries that follow it. */
export function appendEntries(
  term: number,
  [index, prevTerm]: readonly [number, number],
  terms: readonly number[],
  commit = 0,
): AppendEntries {
  const entries = terms.map((of, at) => entry(index + 1 + at, of));
  return { kind: "append-entries", ...between, term, prev: { index, term: prevTerm }, entries, commit };
}

export function accepted(term: number, index: number): AppendEntriesReply {
  return { kind: "append-entries-reply", ...between, term, accepted: true, index, hint: { index, term } };
}

export function refused(term: number, index: number, hint: readonly [number, number]): AppendEntriesReply {
  const [hintIndex, hintTerm] = hint;
  const place = { index: hintIndex, term: hintTerm };
  return { kind: "append-entries-reply", ...between, term, accepted: false, index, hint: place };
}

export function heartbeat(term: number, commit = 0, context = 0): Heartbeat {
  return { kind: "heartbeat", ...between, term, commit, context };
}

export function heartbeatReply(term: number, context = 0): HeartbeatReply {
  return { kind: "heartbeat-reply", ...between, term, context };
}

/** As `logOf` makes them. */
export function entry(index: number, term: number): Entry {
  return { index, term, kind: "command", data: toUtf8(`c${index}`) };
}
