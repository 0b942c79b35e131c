import { checkCommand } from "../kv/command.ts";
import { DecodeError } from "../lib/codec.ts";
import type { Entry, Message } from "../raft/types.ts";
import { commandBytesMax, membersMax } from "./limits.ts";
import { decodeMembers, type Members } from "./members.ts";

/**
 * Throws a DecodeError for entries that this node could store and not apply: a log that holds one stops the node at each
 * start. So what a peer appends is read whole before it may enter the log.
 */
export function checkEntries(message: Message): void {
  if (message.kind !== "append-entries") return;
  for (const entry of message.entries) checkEntry(entry);
}

function checkEntry({ kind, index, data }: Entry): void {
  if (data.length > commandBytesMax)
    throw new DecodeError(`entry ${index} has ${data.length} bytes, at most ${commandBytesMax} are allowed`);
  if (kind === "command") checkCommand(data);
  else if (kind === "config") checkMembers(decodeMembers(data), index);
  else if (data.length > 0) throw new DecodeError(`entry ${index} has no command, but ${data.length} bytes`);
}

/** What no change of the members makes: `problemOfChange` and the leader refuse each of them. */
function checkMembers({ list, incoming }: Members, index: number): void {
  const ids = new Set(list.map(({ nodeId }) => nodeId));
  if (incoming.length === 0) throw new DecodeError(`the members of entry ${index} have no voter`);
  if (ids.size < list.length) throw new DecodeError(`the members of entry ${index} name a node twice`);
  if (list.length > membersMax)
    throw new DecodeError(`entry ${index} names ${list.length} members, at most ${membersMax} are allowed`);
}
