import type { RestoreOptions } from "../backup/restore.ts";
import type { ServerConfig } from "../config/config.ts";
import { usageError } from "./args.ts";
import type { Command, Context } from "./context.ts";
import { exitStatus } from "./exit-status.ts";
import { percentOf } from "./in-turns.ts";
import { jsonLine } from "./output.ts";
import { ProgressLine } from "./progress-line.ts";
import { readServerFile } from "./server-file.ts";
import { withBackup } from "./snapshot-inspect.ts";

export const snapshotRestoreCommand: Command = {
  name: "snapshot restore",
  summary: "Prepare a server's data folder from a backup, for a new cluster",
  usage: "<file> <config.yml>",
  argumentsMin: 2,
  argumentsMax: 2,
  flags: [
    {
      name: "data-dir",
      value: "DIR",
      summary: "the folder that is made, the configuration's dataDir if not said",
    },
  ],
  details: [
    "Run it once for each server of the new cluster, with the same file and that server's configuration, and start them",
    "all: the cluster is formed when all of them have started, and has new ids. The folder can be started with this list of",
    "servers only. Servers whose folders come from different backups, or are empty, never form a cluster.",
    "It is never run for one server of a cluster that lives: such a server stops when it meets the others. Empty its folder",
    "instead, start it with --join, and run kvraft member replace.",
    "Keys keep their lives. The revision is 2^32 above the backup's, so none is used twice; clients of the old cluster open",
    "new sessions. Run again after it was interrupted, it begins anew.",
    "The backup is checked to its end before anything is written. Status 1 when it is damaged; 2 when the folder is not",
    "empty, which is never touched then, or the configuration cannot be used.",
  ].join("\n"),
  examples: [
    "kvraft snapshot restore monday.kvraft config/server1.yml",
    "kvraft snapshot restore monday.kvraft config/server1.yml --data-dir data/new1",
  ],
  run: async (context, call) => {
    const [path, configPath] = call.positionals as [string, string];
    const config = await readConfig(context, configPath, call.flags.get("data-dir"));
    const { checkRestorable, restore } = await import("../backup/restore.ts");
    const { realEnv } = await import("../env/real-env.ts");
    const env = realEnv();
    // Before minutes go into reading the backup.
    checkRestorable(env, config.dataDir);
    return withBackup(context, path, async (reader, checked) => {
      const line = new ProgressLine(context.stderr);
      try {
        const options: RestoreOptions = {
          env,
          config,
          progress: (progress) => line.show(() => `restoring: ${percentOf(progress)}`),
        };
        const revision = await restore(checked, reader.rows(), options);
        line.clear();
        const { dataDir, me, servers } = config;
        const { keys, checksum } = checked;
        context.stdout.write(
          call.settings.format === "json"
            ? jsonLine({ dataDir, me, servers: servers.length, keys, revision, checksum })
            : `prepared ${JSON.stringify(dataDir)} with ${keys} keys at revision ${revision}, for place ${me} of ` +
                `${servers.length}; ${nextStep(servers.length)}\n`,
        );
        return exitStatus.done;
      } finally {
        line.clear();
      }
    });
  },
};

function nextStep(servers: number): string {
  return servers === 1
    ? "start the server"
    : `the cluster is formed when all ${servers} servers have started`;
}

async function readConfig(
  context: Context,
  path: string,
  dataDir: string | true | undefined,
): Promise<ServerConfig> {
  if (dataDir === "") throw usageError('--data-dir is "", must be a folder', snapshotRestoreCommand);
  const config = await readServerFile(context, path);
  return typeof dataDir === "string" ? { ...config, dataDir: dataDir.replace(/(?<=.)\/+$/, "") } : config;
}
