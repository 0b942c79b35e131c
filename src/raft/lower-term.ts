import { isFromLeader, type Message, type NodeId, type Term } from "./types.ts";

/**
 * What the sender of a message of an old term is told, if anything: that time went on, so that it steps down or stops
 * asking. `envelope` carries this node's term.
 */
export function answerToLowerTerm(
  message: Message,
  envelope: { readonly from: NodeId; readonly to: NodeId; readonly term: Term },
): Message | undefined {
  if (isFromLeader(message)) return { ...envelope, kind: "heartbeat-reply", context: 0 };
  if (message.kind !== "request-vote") return undefined;
  return { ...envelope, kind: "request-vote-reply", preVote: message.preVote, granted: false };
}
