import type { BackupReader, CheckedBackup } from "../backup/backup-reader.ts";
import { KvraftError } from "../lib/error.ts";
import { usageError } from "./args.ts";
import type { Command, Context } from "./context.ts";
import { describeError, exitStatus } from "./exit-status.ts";
import { inTurns, percentOf } from "./in-turns.ts";
import { jsonLine } from "./output.ts";
import { ProgressLine } from "./progress-line.ts";

export const snapshotInspectCommand: Command = {
  name: "snapshot inspect",
  summary: "Check a backup, and say what is in it",
  usage: "<file>",
  argumentsMin: 1,
  argumentsMax: 1,
  flags: [],
  details: [
    "Reads all of it: the checksum is over every key and value. Changes nothing. Status 0 when it is whole, 1 when it is",
    "damaged or no backup, 2 when there is no such file or its format is another version's.",
  ].join("\n"),
  examples: ["kvraft snapshot inspect monday.kvraft", "kvraft snapshot inspect -o json monday.kvraft"],
  run: (context, call) => {
    const [path] = call.positionals as [string];
    if (path === "")
      throw usageError('snapshot inspect found "", wanted the name of a file', snapshotInspectCommand);
    return withBackup(context, path, async (_, checked) => {
      context.stdout.write(call.settings.format === "json" ? jsonLine(checked) : describe(checked));
      return exitStatus.done;
    });
  },
};

/** Runs with a backup that was read to its end and is whole; of a damaged one it tells, and ends with status 1. */
export async function withBackup(
  context: Context,
  path: string,
  run: (reader: BackupReader, checked: CheckedBackup) => Promise<number>,
): Promise<number> {
  const { BackupReader } = await import("../backup/backup-reader.ts");
  let reader: BackupReader | undefined;
  let checked: CheckedBackup;
  const line = new ProgressLine(context.stderr);
  try {
    try {
      reader = new BackupReader(path);
      checked = await inTurns(reader.check(), (progress) =>
        line.show(() => `checking: ${percentOf(progress)}`),
      );
    } catch (error) {
      if (!(error instanceof KvraftError) || error.code !== "CORRUPTION") throw error;
      line.clear();
      context.stderr.write(`${describeError(error)}\n`);
      return exitStatus.negative;
    }
    line.clear();
    return await run(reader, checked);
  } finally {
    line.clear();
    reader?.close();
  }
}

function describe({
  clusterId,
  index,
  term,
  revision,
  keys,
  bytes,
  createdAt,
  version,
  checksum,
}: CheckedBackup): string {
  return [
    `cluster: ${clusterId}`,
    `state: revision ${revision}, entry ${index} of term ${term}`,
    `content: ${keys} keys, ${bytes} bytes`,
    `made: ${createdAt} by kvraft ${version}`,
    `checksum: ${checksum}, whole`,
    "",
  ].join("\n");
}
