import { usageError } from "./args.ts";
import { changeWhenCaughtUp, type NamedReplacement } from "./catch-up.ts";
import type { Command } from "./context.ts";
import { tellChange } from "./member-change.ts";
import { parseMemberName } from "./member-name.ts";
import { withClient } from "./with-client.ts";

export const memberReplaceCommand: Command = {
  name: "member replace",
  summary: "Replace members by servers that have joined, in one change",
  usage: "<old=new>...",
  argumentsMin: 1,
  argumentsMax: Number.POSITIVE_INFINITY,
  flags: [],
  details: [
    "Each of old and new is a node id or a host:port; the new ones were started with --join, as for member add. Waits",
    "until they have caught up, and then makes them voters and removes the old ones in one change: at no moment are",
    "there fewer voters than before. Each old one has to be a voter and its new one a learner; or the change was made",
    "before: the old one was removed and the new one is a voter, which is said, with status 0. Anything else is",
    "refused with status 2, and nothing is changed. A server that lost its folder returns at its address by --join;",
    "then two members have that address, and ids tell them apart: see member list. Statuses 2 and 3 as for member",
    "add, too.",
  ].join("\n"),
  examples: [
    "kvraft member replace 127.0.0.1:5003=127.0.0.1:5004",
    "kvraft member replace 8b5e0f1c2d3a4b5c=10.0.0.4:5001 10.0.0.2:5001=10.0.0.5:5001",
  ],
  run: (context, call) => {
    const replacements = call.positionals.map(parseReplacement);
    return withClient(context, call.settings, async (client) =>
      tellChange(
        context,
        call,
        await changeWhenCaughtUp(context, client, { promote: [], replace: replacements }),
      ),
    );
  },
};

function parseReplacement(text: string): NamedReplacement {
  const [old = "", next, ...more] = text.split("=");
  if (next === undefined || more.length > 0)
    throw usageError(`member replace found ${JSON.stringify(text)}, wanted OLD=NEW`, memberReplaceCommand);
  const [oldName, newName] = [old, next].map((part) => parseMemberName(part, memberReplaceCommand));
  return { old: oldName!, new: newName! };
}
