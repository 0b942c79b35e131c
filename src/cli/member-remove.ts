import type { Command } from "./context.ts";
import { tellChange, unique } from "./member-change.ts";
import { findOnlyMember, parseMemberName } from "./member-name.ts";
import { withClient } from "./with-client.ts";

export const memberRemoveCommand: Command = {
  name: "member remove",
  summary: "Remove members, in one change",
  usage: "<id | host:port>...",
  argumentsMin: 1,
  argumentsMax: Number.POSITIVE_INFINITY,
  flags: [],
  details: [
    "The leader may be among them: another one follows it. A node that was removed stops by itself when it hears of it, and",
    "its data folder can be deleted. What is no member is said to be none: status 0. Status 4 when nobody would be left.",
  ].join("\n"),
  examples: ["kvraft member remove 127.0.0.1:5003", "kvraft member remove 8b5e0f1c2d3a4b5c 127.0.0.1:5004"],
  run: (context, call) => {
    const names = call.positionals.map((text) => parseMemberName(text, memberRemoveCommand));
    return withClient(context, call.settings, async (client) => {
      const list = await client.members();
      const found = names.map((name) => findOnlyMember(list, name));
      const notes = names.filter((_, at) => found[at] === undefined).map((name) => `${name} is no member`);
      const removed = unique(found.filter((member) => member !== undefined));
      if (removed.length > 0) await client.changeMembers({ remove: removed.map(({ nodeId }) => nodeId) });
      return tellChange(context, call, { promoted: [], removed, notes });
    });
  },
};
