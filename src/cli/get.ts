import type { Bytes } from "../lib/bytes.ts";
import type { Client } from "./client.ts";
import type { Command, Context, Settings } from "./context.ts";
import { exitStatus } from "./exit-status.ts";
import { decodeArgument, encodeOutput, jsonField, jsonLine } from "./output.ts";
import { withClient } from "./with-client.ts";

export const getCommand: Command = {
  name: "get",
  summary: "Print the value of a key",
  usage: "<key>",
  argumentsMin: 1,
  argumentsMax: 1,
  takesBytes: true,
  flags: [{ name: "raw", summary: "no newline after the value" }],
  details: [
    "The value's bytes go to stdout as they are, followed by a newline. A missing key prints nothing there,",
    '"key not found" on stderr, and ends with status 1.',
    "With -o json: one object with key, value, created, modified (the revisions of its first and last version) and",
    "count (of its versions). Bytes that are no UTF-8 are in keyBase64 or valueBase64 instead.",
  ].join("\n"),
  examples: ["kvraft get greeting", "kvraft get --raw photo > photo.jpg", "kvraft get -o json greeting"],
  run: (context, call) =>
    withClient(context, call.settings, async (client) => {
      const key = decodeArgument(call.positionals[0]!, call.settings.encoding, "key");
      const isFound =
        call.settings.format === "json"
          ? await printRecord(context, client, key, call.settings)
          : await printValue(context, client, key, call.settings, call.flags.has("raw"));
      if (!isFound) context.stderr.write("key not found\n");
      return isFound ? exitStatus.done : exitStatus.negative;
    }),
};

async function printValue(
  context: Context,
  client: Client,
  key: Bytes,
  settings: Settings,
  isRaw: boolean,
): Promise<boolean> {
  const value = await client.getBytes(key);
  if (value === undefined) return false;
  context.stdout.write(encodeOutput(value, settings.encoding));
  if (!isRaw) context.stdout.write("\n");
  return true;
}

/** Prints what is known of a key as one JSON object; false when there is no such key. */
export async function printRecord(
  context: Context,
  client: Client,
  key: Bytes,
  settings: Settings,
): Promise<boolean> {
  const record = await client.getRecord(key);
  if (record === undefined) return false;
  const { value, created, modified, count } = record;
  const fields = {
    ...jsonField("key", key, settings.encoding),
    ...jsonField("value", value, settings.encoding),
  };
  context.stdout.write(jsonLine({ ...fields, created, modified, count }));
  return true;
}
