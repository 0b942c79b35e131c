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
  summary: "Make a server's data folder from a backup, for a new cluster",
  usage: "<file> <config.yml>",
  argumentsMin: 2,
  argumentsMax: 2,
  flags: [
    {
      name: "data-dir",
      value: "DIR",
      summary: "the folder that is made, the configuration's dataDir if not said",
    },
    { name: "token", value: "TEXT", summary: "makes another cluster of the same backup and servers" },
  ],
  details: [
    "Run it once for each server of the new cluster, with the same file and that server's configuration, and start them",
    "then: they are formed already. Ids follow from the backup, the list of servers and the token, so nobody has to talk.",
    "So never run it again for one server of a cluster that has served since: it would come back under its old id without",
    "what it has voted and acknowledged. Let a new server join instead, or give another token to all of them.",
    "Keys keep their lives, and revisions go on upward from the backup's; clients of the old cluster open new sessions.",
    "The backup is checked to its end before anything is written. Status 1 when it is damaged; 2 when the folder is not",
    "empty, which is never touched then, or the configuration cannot be used.",
  ].join("\n"),
  examples: [
    "kvraft snapshot restore monday.kvraft config/server1.yml",
    "kvraft snapshot restore monday.kvraft config/server1.yml --data-dir data/new1 --token drill-7",
  ],
  run: async (context, call) => {
    const [path, configPath] = call.positionals as [string, string];
    const config = await readConfig(context, configPath, call.flags.get("data-dir"));
    const token = call.flags.get("token");
    const { checkRestorable, restore } = await import("../backup/restore.ts");
    // Before minutes go into reading the backup.
    checkRestorable(config.dataDir);
    return withBackup(context, path, async (reader, checked) => {
      const { realEnv } = await import("../env/real-env.ts");
      const line = new ProgressLine(context.stderr);
      try {
        const options: RestoreOptions = {
          env: realEnv(),
          config,
          token: typeof token === "string" ? token : "",
          progress: (progress) => line.show(() => `restoring: ${percentOf(progress)}`),
        };
        const { nodeId, clusterId } = await restore(reader, checked, options);
        line.clear();
        const { dataDir, me, servers } = config;
        const { keys, revision } = checked;
        context.stdout.write(
          call.settings.format === "json"
            ? jsonLine({ dataDir, nodeId, clusterId, me, servers: servers.length, keys, revision })
            : `restored ${keys} keys at revision ${revision} into ${JSON.stringify(dataDir)}: node ${nodeId} of cluster ` +
                `${clusterId}, place ${me} of ${servers.length}\n`,
        );
        return exitStatus.done;
      } finally {
        line.clear();
      }
    });
  },
};

async function readConfig(
  context: Context,
  path: string,
  dataDir: string | true | undefined,
): Promise<ServerConfig> {
  if (dataDir === "") throw usageError('--data-dir is "", must be a folder', snapshotRestoreCommand);
  const config = await readServerFile(context, path);
  return typeof dataDir === "string" ? { ...config, dataDir: dataDir.replace(/(?<=.)\/+$/, "") } : config;
}
