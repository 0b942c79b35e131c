import { changeWhenCaughtUp } from "./catch-up.ts";
import type { Command } from "./context.ts";
import { tellChange } from "./member-change.ts";
import { parseMemberName } from "./member-name.ts";
import { withClient } from "./with-client.ts";

export const memberAddCommand: Command = {
  name: "member add",
  summary: "Make a voter of a server that has joined, when it has caught up",
  usage: "<id | host:port>",
  argumentsMin: 1,
  argumentsMax: 1,
  flags: [],
  details: [
    "The server there was started with kvraft server CONFIG --join HOST:PORT, which made it a learner: it is sent",
    "everything and does not vote. This waits until it has the state and lacks hardly anything of the log, for as",
    "long as that takes, and then makes it a voter. Ctrl-C in the meantime leaves it a learner. A server that is a",
    "voter already is said to be one: status 0. Two members at one address are told apart by their ids only. Status 2",
    "when no such server has joined within 10 s or it was removed, 3 when it has not been heard of for 30 s.",
  ].join("\n"),
  examples: ["kvraft member add 127.0.0.1:5004"],
  run: (context, call) => {
    const name = parseMemberName(call.positionals[0]!, memberAddCommand);
    return withClient(context, call.settings, async (client) =>
      tellChange(context, call, await changeWhenCaughtUp(context, client, { promote: [name], replace: [] })),
    );
  },
};
