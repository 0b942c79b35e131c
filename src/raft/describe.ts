import { unreachable } from "../lib/assert.ts";
import { fromUtf8 } from "../lib/bytes.ts";
import type { RaftState } from "./raft-options.ts";
import type { Entry, EntryId, Message, NodeId, ReadState, RequestVote, Write } from "./types.ts";

/** One message as one line: `n1→n2 append-entries term 2 prev 4/1 entries 5..7 commit 3`. */
export function describeMessage(message: Message): string {
  const head = `${message.from}→${message.to} ${message.kind} term ${message.term}`;
  switch (message.kind) {
    case "request-vote":
      return `${head}${describeCampaign(message)} last ${describeId(message.last)}`;
    case "request-vote-reply":
      return `${head}${message.preVote ? " pre-vote" : ""} ${message.granted ? "granted" : "refused"}`;
    case "append-entries":
      return `${head} prev ${describeId(message.prev)}${describeRange(message.entries)} commit ${message.commit}`;
    case "append-entries-reply":
      if (message.accepted) return `${head} accepted ${message.index}`;
      return `${head} refused ${message.index} hint ${describeId(message.hint)}`;
    case "heartbeat":
      return `${head} commit ${message.commit} context ${message.context}`;
    case "heartbeat-reply":
      return `${head} context ${message.context}`;
    case "install-snapshot":
      return `${head} start ${describeId(message.start)}`;
    case "timeout-now":
      return head;
    default:
      return unreachable(message);
  }
}

/** An entry's name, index first as a log is read: `5/2` is index 5 of term 2. */
export function describeId(id: EntryId): string {
  return `${id.index}/${id.term}`;
}

/** One entry as one line: `5/2 command "x"`; data that is long or no plain text is only measured. */
export function describeEntry(entry: Entry): string {
  const head = `${describeId(entry)} ${entry.kind}`;
  return entry.data.length === 0 ? head : `${head} ${describeData(entry.data)}`;
}

/** One write as one line: `write 3 term 2 vote n1 commit 4 entries 5/2 6/2`. */
export function describeWrite(write: Write): string {
  const { hardState } = write;
  const state =
    hardState === undefined
      ? ""
      : ` term ${hardState.term} vote ${describeNode(hardState.vote)} commit ${hardState.commit}`;
  const start = write.start === undefined ? "" : ` start ${describeId(write.start)}`;
  const entries = write.entries.length === 0 ? "" : ` entries ${write.entries.map(describeId).join(" ")}`;
  return `write ${write.id}${state}${start}${entries}`;
}

/** One node as one line; `-` stands for nobody. */
export function describeState(state: RaftState): string {
  const { id, role, term, vote, leader, commit, applied, durable, firstIndex, last } = state;
  const start = firstIndex === 1 ? "" : ` first ${firstIndex}`;
  return (
    `${id} ${role} term ${term} vote ${describeNode(vote)} leader ${describeNode(leader)} commit ${commit} ` +
    `applied ${applied} durable ${durable}${start} last ${describeId(last)}`
  );
}

/** A read that may be answered: `read 7 at 4`. */
export function describeRead(read: ReadState): string {
  return `read ${read.context} at ${read.index}`;
}

/** Data longer than this is only measured. */
const shownBytesMax = 32;

function describeData(data: Uint8Array): string {
  const isPlain = data.length <= shownBytesMax && data.every((byte) => byte >= 0x20 && byte < 0x7f);
  return isPlain ? JSON.stringify(fromUtf8(data)) : `${data.length} bytes`;
}

function describeCampaign({ preVote, isTransfer }: RequestVote): string {
  return `${preVote ? " pre-vote" : ""}${isTransfer ? " transfer" : ""}`;
}

function describeRange(entries: readonly Entry[]): string {
  if (entries.length === 0) return "";
  const [first, last] = [entries[0]!.index, entries[entries.length - 1]!.index];
  return first === last ? ` entries ${first}` : ` entries ${first}..${last}`;
}

function describeNode(id: NodeId | undefined): string {
  return id ?? "-";
}
