import type { Command } from "./context.ts";
import { tellChange } from "./member-change.ts";
import { findMember, noMember, parseMemberName } from "./member-name.ts";
import { withClient } from "./with-client.ts";

export const memberPromoteCommand: Command = {
  name: "member promote",
  summary: "Make a voter of a learner at once, or refuse if it is behind",
  usage: "<id | host:port>",
  argumentsMin: 1,
  argumentsMax: 1,
  flags: [],
  details: [
    "As member add, without waiting: status 4 when the learner is too far behind. A voter stays one: status 0.",
    "Status 2 when there is no such member.",
  ].join("\n"),
  examples: ["kvraft member promote 127.0.0.1:5004", "kvraft member promote 8b5e0f1c2d3a4b5c"],
  run: (context, call) => {
    const name = parseMemberName(call.positionals[0]!, memberPromoteCommand);
    return withClient(context, call.settings, async (client) => {
      const list = await client.members();
      const member = findMember(list, name);
      if (member === undefined) throw noMember("promote", name, list);
      const notes = [`${member.address} is a voter already (${member.nodeId})`];
      if (member.role === "voter") return tellChange(context, call, { promoted: [], removed: [], notes });
      await client.changeMembers({ promote: [member.nodeId] });
      return tellChange(context, call, { promoted: [member], removed: [], notes: [] });
    });
  },
};
