import type { Command } from "./context.ts";
import { doneChange, tellChange } from "./member-change.ts";
import { findNode, neverMember, parseMemberName } from "./member-name.ts";
import { withClient } from "./with-client.ts";

export const memberRemoveCommand: Command = {
  name: "member remove",
  summary: "Remove members, in one change",
  usage: "<id | host:port>...",
  argumentsMin: 1,
  argumentsMax: Number.POSITIVE_INFINITY,
  flags: [],
  details: [
    "The leader may be among them: another one follows it. A node that was removed stops by itself when it hears of",
    "it, and its data folder can be deleted. What was removed already is said to be: status 0. Status 2, and nothing",
    "is changed, when one of them never was a member, when nobody would be left, and when two members have an",
    "address: name those by id.",
  ].join("\n"),
  examples: ["kvraft member remove 127.0.0.1:5003", "kvraft member remove 8b5e0f1c2d3a4b5c 127.0.0.1:5004"],
  run: (context, call) => {
    const names = call.positionals.map((text) => parseMemberName(text, memberRemoveCommand));
    return withClient(context, call.settings, async (client) => {
      const list = await client.members();
      const nodes = names.map((name) => {
        const node = findNode(list, name);
        if (node === undefined) throw neverMember("remove", name, list);
        return node;
      });
      await client.changeMembers({ remove: nodes.map(({ reference }) => reference) });
      return tellChange(context, call, doneChange([], nodes));
    });
  },
};
