import type { MemberList, MemberStatus } from "../client/member-list.ts";
import { usageError } from "./args.ts";
import { whenCaughtUp } from "./catch-up.ts";
import type { Command } from "./context.ts";
import { type DoneChange, tellChange, unique } from "./member-change.ts";
import { type MemberName, parseMemberName } from "./member-name.ts";
import { withClient } from "./with-client.ts";

interface Replacement {
  readonly old: MemberName;
  readonly new: MemberName;
}

export const memberReplaceCommand: Command = {
  name: "member replace",
  summary: "Replace members by servers that have joined, in one change",
  usage: "<old=new>...",
  argumentsMin: 1,
  argumentsMax: Number.POSITIVE_INFINITY,
  flags: [],
  details: [
    "Each of old and new is a node id or a host:port; the new ones were started with --join, as for member add. Waits until",
    "they have caught up, and then makes them voters and removes the old ones in one change: at no moment are there fewer",
    "voters than before. What is done already is said to be: status 0. Statuses 2 and 3 as for member add.",
  ].join("\n"),
  examples: [
    "kvraft member replace 127.0.0.1:5003=127.0.0.1:5004",
    "kvraft member replace 8b5e0f1c2d3a4b5c=10.0.0.4:5001 10.0.0.2:5001=10.0.0.5:5001",
  ],
  run: (context, call) => {
    const replacements = call.positionals.map(parseReplacement);
    return withClient(context, call.settings, async (client) => {
      let done: DoneChange | undefined;
      const names = replacements.map((each) => each.new);
      await whenCaughtUp(context, client, names, async (members, list) => {
        done = planOf(replacements, members, list);
        const [promote, remove] = [done.promoted, done.removed].map((some) =>
          some.map(({ nodeId }) => nodeId),
        );
        if (promote!.length + remove!.length > 0)
          await client.changeMembers({ promote: promote!, remove: remove! });
      });
      return tellChange(context, call, done!);
    });
  },
};

function parseReplacement(text: string): Replacement {
  const [old = "", next, ...more] = text.split("=");
  if (next === undefined || more.length > 0)
    throw usageError(`member replace found ${JSON.stringify(text)}, wanted OLD=NEW`, memberReplaceCommand);
  const [oldName, newName] = [old, next].map((part) => parseMemberName(part, memberReplaceCommand));
  return { old: oldName!, new: newName! };
}

function planOf(
  replacements: readonly Replacement[],
  members: readonly MemberStatus[],
  list: MemberList,
): DoneChange {
  const notes: string[] = [];
  for (const { address, nodeId, role } of members)
    if (role === "voter") notes.push(`${address} is a voter already (${nodeId})`);
  const removed: MemberStatus[] = [];
  for (const { old } of replacements) {
    // A server that came back empty under its old address is found by that; its id still names the one that was lost.
    const member = list.members.find(
      ({ nodeId, address }) =>
        (nodeId === old || address === old) && !members.some((each) => each.nodeId === nodeId),
    );
    if (member === undefined) notes.push(`${old} is no member`);
    else removed.push(member);
  }
  const promoted = unique(members.filter(({ role }) => role !== "voter"));
  return { promoted, removed: unique(removed), notes };
}
