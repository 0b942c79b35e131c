import type { Command } from "./context.ts";
import { describeError, exitStatus } from "./exit-status.ts";
import { decodeArgument, jsonLine } from "./output.ts";
import { withClient } from "./with-client.ts";

export const deleteCommand: Command = {
  name: "delete",
  aliases: ["del"],
  summary: "Remove keys",
  usage: "<key>...",
  argumentsMin: 1,
  argumentsMax: Number.POSITIVE_INFINITY,
  takesBytes: true,
  flags: [],
  details:
    "Prints how many of the keys existed, and ends with status 0 even if none did. One after the other: when it fails\n" +
    "in the middle it says how many keys are done, and ends with status 5.",
  examples: ["kvraft delete greeting", "kvraft delete a b c"],
  run: async (context, call) => {
    const keys = call.positionals.map((text) => decodeArgument(text, call.settings.encoding, "key"));
    return withClient(context, call.settings, async (client) => {
      let deleted = 0;
      let done = 0;
      try {
        for (const key of keys) {
          if (await client.delete(key)) deleted++;
          done++;
        }
      } catch (error) {
        if (done === 0) throw error;
        // Whatever became of this one, something has happened: no status that says otherwise.
        context.stderr.write(
          `${describeError(error)}\nkvraft: the first ${done} of ${keys.length} keys are done\n`,
        );
        return exitStatus.unknown;
      }
      context.stdout.write(call.settings.format === "json" ? jsonLine({ deleted }) : `${deleted}\n`);
      return exitStatus.done;
    });
  },
};
