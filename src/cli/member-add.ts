import { formatAddress, parseAddress } from "../lib/address.ts";
import { usageError } from "./args.ts";
import { whenCaughtUp } from "./catch-up.ts";
import type { Command } from "./context.ts";
import { type DoneChange, tellChange } from "./member-change.ts";
import { withClient } from "./with-client.ts";

export const memberAddCommand: Command = {
  name: "member add",
  summary: "Make a voter of a server that has joined, when it has caught up",
  usage: "<host:port>",
  argumentsMin: 1,
  argumentsMax: 1,
  flags: [],
  details: [
    "The server there was started with kvraft server CONFIG --join HOST:PORT, which made it a learner: it is sent",
    "everything and does not vote. This waits until it lacks hardly anything, for as long as that takes, and then makes it",
    "a voter. Ctrl-C in the meantime leaves it a learner. A server that is a voter already is said to be one: status 0.",
    "Status 2 when no such server has joined within 10 s, 3 when it has not been heard of for 30 s.",
  ].join("\n"),
  examples: ["kvraft member add 127.0.0.1:5004"],
  run: (context, call) => {
    const [text] = call.positionals as [string];
    const address = parseAddress(text);
    if (address === undefined)
      throw usageError(`member add found ${JSON.stringify(text)}, wanted a host:port`, memberAddCommand);
    return withClient(context, call.settings, async (client) => {
      let done: DoneChange = { promoted: [], removed: [], notes: [] };
      await whenCaughtUp(context, client, [formatAddress(address)], async ([member]) => {
        const { nodeId, address, role } = member!;
        if (role === "voter") {
          done = { ...done, notes: [`${address} is a voter already (${nodeId})`] };
          return;
        }
        await client.changeMembers({ promote: [nodeId] });
        done = { ...done, promoted: [member!] };
      });
      return tellChange(context, call, done);
    });
  },
};
