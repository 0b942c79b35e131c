import type { RaftLog } from "./raft-log.ts";
import {
  type AppendEntries,
  type HeartbeatReply,
  type Index,
  isFromLeader,
  type Message,
  type NodeId,
  type Term,
  termMax,
} from "./types.ts";

/** What the check has to know of the node. */
export interface Receiver {
  readonly term: Term;
  readonly isLeader: boolean;
  readonly leader: NodeId | undefined;
  readonly log: RaftLog;
  /** The leader of this term was told that this node has its log up to here. */
  readonly acceptedIndex: Index;
  /** The last read round that this node, as the leader, has begun. */
  readonly readContext: number;
}

/** A message may raise the term by so much: 58 days of one election after the other, while this node was away. */
const termStepMax = 2 ** 24;

/**
 * Why no honest member can have sent this message to this node, or undefined. A connection proves nothing: whoever says
 * hello as a member may send what it likes. So each assertion of the core that a message could break has its question
 * here, and what is refused has changed nothing. A message that lies about data and fits passes: authentication is not
 * the core's part.
 */
export function problemOf(message: Message, receiver: Receiver): string | undefined {
  const { term } = message;
  if (term > termMax) return `term ${term} is beyond the last one, ${termMax}`;
  if (term > receiver.term + termStepMax) return `term ${term} is too far from this node's, ${receiver.term}`;
  if (term < receiver.term) return undefined;
  if (term === receiver.term && isFromLeader(message)) {
    if (receiver.isLeader) return `this node leads term ${term}`;
    if (receiver.leader !== undefined && receiver.leader !== message.from)
      return `${receiver.leader} leads term ${term}`;
  }
  if (message.kind === "append-entries") return problemOfEntries(message, receiver);
  if (message.kind === "heartbeat") return problemOfCommit(message.commit, receiver.log);
  if (message.kind === "heartbeat-reply" && term === receiver.term) return problemOfReply(message, receiver);
  return undefined;
}

/**
 * What is committed is never replaced (paper 5.4.3). Nor is what the leader of this term was told to be here: it only
 * appends (5.3).
 */
function problemOfEntries({ entries, term }: AppendEntries, receiver: Receiver): string | undefined {
  const { log } = receiver;
  const accepted = term === receiver.term ? receiver.acceptedIndex : 0;
  const floor = Math.max(log.commit, accepted);
  for (const entry of entries) {
    if (entry.index > floor) return undefined;
    if (entry.index >= log.firstIndex && !log.has(entry))
      return `entry ${entry.index} of term ${entry.term} differs from the one that is ${
        entry.index <= log.commit ? "committed" : "acknowledged"
      } here`;
  }
  return undefined;
}

/** Either the sender is no leader of this node, or this node's disk has lost writes that were synced. */
function problemOfCommit(commit: Index, log: RaftLog): string | undefined {
  if (commit <= log.lastIndex) return undefined;
  return (
    `it says that this node acknowledged the log up to ${commit}, but the log here ends at ${log.lastIndex}; if the ` +
    "sender does lead, then the disk of this node lost writes that were synced: replace this node"
  );
}

function problemOfReply(
  { context }: HeartbeatReply,
  { isLeader, readContext }: Receiver,
): string | undefined {
  return isLeader && context > readContext ? `read round ${context} has not begun` : undefined;
}
