import type { Bytes } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import { checkText, usageError } from "./args.ts";
import type { Call, Command, Context } from "./context.ts";
import { exitStatus } from "./exit-status.ts";
import { readAll } from "./input.ts";
import { decodeArgument, decodeContent, jsonLine } from "./output.ts";
import { withClient } from "./with-client.ts";

export const putCommand: Command = {
  name: "put",
  summary: "Store a value under a key",
  usage: "<key> [<value> | - | @file]",
  argumentsMin: 1,
  argumentsMax: 2,
  takesBytes: true,
  flags: [
    { name: "value", value: "VALUE", summary: "the value as it stands, be it - or @x", takesBytes: true },
  ],
  details: [
    "The value is the second argument, or all of stdin (with -, or without a value when stdin is a pipe or a file), or a",
    "file (@file). Every byte counts, a newline at the end too. Prints OK. Key and value may be any bytes on Linux;",
    "elsewhere what is no UTF-8 text is given with --hex or --base64.",
  ].join("\n"),
  examples: ["kvraft put greeting 'hello, world'", "kvraft put photo @photo.jpg", "date | kvraft put now"],
  run: async (context, call) => {
    // Before anything is asked of a server, so that a typing error is told at once.
    const key = decodeArgument(call.positionals[0]!, call.settings.encoding, "key");
    const value = await readValue(context, call);
    return withClient(context, call.settings, async (client) => {
      await client.put(key, value);
      context.stdout.write(call.settings.format === "json" ? jsonLine({ ok: true }) : "OK\n");
      return exitStatus.done;
    });
  },
};

async function readValue(context: Context, call: Call): Promise<Bytes> {
  const { encoding } = call.settings;
  const literal = call.flags.get("value");
  const text = call.positionals[1];
  if (typeof literal === "string") {
    if (text !== undefined) throw usageError("put got a value and --value", putCommand);
    return decodeArgument(literal, encoding, "value");
  }
  if (text === undefined && !context.stdin.hasContent)
    throw usageError("put needs a value: as an argument, on stdin, or as @file", putCommand);
  if (text === undefined || text === "-")
    return decodeContent(await readAll(context.stdin), encoding, "stdin");
  if (!text.startsWith("@")) return decodeArgument(text, encoding, "value");
  const path = text.slice(1);
  checkText(path, putCommand);
  const content = await context.readFile(path);
  if (content === undefined)
    throw new KvraftError(
      "NOT_FOUND",
      `Cannot read ${JSON.stringify(path)}: there is no such file; ` +
        `write --value ${JSON.stringify(text)} to store the text itself`,
    );
  return decodeContent(content, encoding, "file");
}
