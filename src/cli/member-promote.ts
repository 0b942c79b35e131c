import type { Command } from "./context.ts";
import { doneChange, tellChange } from "./member-change.ts";
import { findNode, noMember, parseMemberName } from "./member-name.ts";
import { withClient } from "./with-client.ts";

export const memberPromoteCommand: Command = {
  name: "member promote",
  summary: "Make a voter of a learner at once, or refuse if it is behind",
  usage: "<id | host:port>",
  argumentsMin: 1,
  argumentsMax: 1,
  flags: [],
  details: [
    "As member add, without waiting: status 2 when the learner has no state yet or is too far behind, and when there is no",
    "such member. A voter stays one: status 0.",
  ].join("\n"),
  examples: ["kvraft member promote 127.0.0.1:5004", "kvraft member promote 8b5e0f1c2d3a4b5c"],
  run: (context, call) => {
    const name = parseMemberName(call.positionals[0]!, memberPromoteCommand);
    return withClient(context, call.settings, async (client) => {
      const list = await client.members();
      const node = findNode(list, name);
      if (node === undefined) throw noMember("promote", name, list);
      await client.changeMembers({ promote: [node.reference] });
      return tellChange(context, call, doneChange([node], []));
    });
  },
};
