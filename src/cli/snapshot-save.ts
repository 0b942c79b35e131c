import type { Backup } from "../backup/backup.ts";
import type { SaveOptions } from "../backup/save.ts";
import type { EntryRange, StoppedNode } from "../backup/stopped-node.ts";
import { type Address, parseAddress } from "../lib/address.ts";
import { usageError } from "./args.ts";
import type { Call, Command, Context } from "./context.ts";
import { exitStatus } from "./exit-status.ts";
import { inTurns, percentOf } from "./in-turns.ts";
import { jsonLine } from "./output.ts";
import { ProgressLine } from "./progress-line.ts";
import { roundedSize } from "./rounded-size.ts";
import { programVersion } from "./version.ts";
import { withClient } from "./with-client.ts";

export const snapshotSaveCommand: Command = {
  name: "snapshot save",
  summary: "Write a backup of the whole state into a file",
  usage: "<file>",
  argumentsMin: 1,
  argumentsMax: 1,
  flags: [
    { name: "server", value: "HOST:PORT", summary: "the node that is read, the leader if not said" },
    {
      name: "data-dir",
      value: "DIR",
      summary: "read this data folder of a stopped server instead of a running cluster",
    },
    { name: "uncommitted", summary: "with --data-dir: entries that are not known to be committed, too" },
  ],
  details: [
    "The file is an SQLite database: table kv has the keys, table backup says what it is. It holds every write that was",
    "acknowledged before the command began, as one moment, and the cluster goes on meanwhile. With --server: what that node",
    "has, which may lack the last writes of the others. An existing file is never overwritten (status 2); FILE.part is what",
    "is not complete yet. Status 3 when the snapshot cannot be read to its end.",
    "With --data-dir: what that node holds, its log replayed. Nothing in the folder changes; which entries are left out,",
    "and may hold acknowledged writes, is said on stderr. Status 2 when a server uses the folder.",
  ].join("\n"),
  examples: [
    "kvraft snapshot save monday.kvraft",
    "kvraft snapshot save monday.kvraft --server 127.0.0.1:5002",
    "kvraft snapshot save last.kvraft --data-dir data/server3",
  ],
  run: async (context, call) => {
    const [path] = call.positionals as [string];
    if (path === "")
      throw usageError('snapshot save found "", wanted the name of a file', snapshotSaveCommand);
    const { server, folder } = sourceOf(call);
    const backup =
      folder === undefined
        ? await saveRunning(context, call, path, server)
        : await saveFolder(context, path, folder, call.flags.has("uncommitted"));
    tell(context, call, path, backup);
    return exitStatus.done;
  },
};

function sourceOf({ flags }: Call): { server: Address | undefined; folder: string | undefined } {
  const [serverText, folder] = [flags.get("server"), flags.get("data-dir")];
  if (serverText !== undefined && folder !== undefined)
    throw usageError("--server and --data-dir exclude each other", snapshotSaveCommand);
  if (flags.has("uncommitted") && folder === undefined)
    throw usageError(
      "--uncommitted is for --data-dir: a running cluster knows what is committed",
      snapshotSaveCommand,
    );
  const server = typeof serverText === "string" ? parseAddress(serverText) : undefined;
  if (serverText !== undefined && server === undefined)
    throw usageError(`--server is ${JSON.stringify(serverText)}, must be host:port`, snapshotSaveCommand);
  if (folder === "") throw usageError('--data-dir is "", must be a data folder', snapshotSaveCommand);
  return { server, folder: typeof folder === "string" ? folder.replace(/(?<=.)\/+$/, "") : undefined };
}

async function saveRunning(
  context: Context,
  call: Call,
  path: string,
  server: Address | undefined,
): Promise<Backup> {
  let backup: Backup | undefined;
  const { saveSnapshot } = await import("../backup/save.ts");
  const { checkNewFile } = await import("../env/sqlite-backup.ts");
  // Before anything is asked of a server.
  checkNewFile(path);
  await withClient(context, call.settings, async (client) => {
    const source = await client.snapshot({ fresh: true, ...(server === undefined ? {} : { from: server }) });
    backup = await saving(context, (options) => saveSnapshot(path, source, options));
    return exitStatus.done;
  });
  return backup!;
}

async function saveFolder(
  context: Context,
  path: string,
  folder: string,
  withUncommitted: boolean,
): Promise<Backup> {
  const { BunDisk } = await import("../env/bun-disk.ts");
  const { SqliteTables } = await import("../env/sqlite-tables.ts");
  const { StoppedNode } = await import("../backup/stopped-node.ts");
  const { saveStopped } = await import("../backup/save.ts");
  const { checkNewFile } = await import("../env/sqlite-backup.ts");
  checkNewFile(path);
  const note = (line: string) => context.stderr.write(`kvraft: ${line}\n`);
  const env = { disk: new BunDisk(), tables: new SqliteTables() };
  const node = StoppedNode.open({ env, folder, withUncommitted, report: () => {} });
  try {
    await replay(context, node);
    const backup = await saving(context, (options) => saveStopped(path, node, options));
    if (node.uncommitted !== undefined) note(uncommittedText(node.uncommitted, withUncommitted));
    return backup;
  } finally {
    node.close();
  }
}

async function replay(context: Context, node: StoppedNode): Promise<void> {
  const line = new ProgressLine(context.stderr);
  try {
    await inTurns(node.replay(), (progress) => line.show(() => `replaying the log: ${percentOf(progress)}`));
  } finally {
    line.clear();
  }
}

async function saving(context: Context, save: (options: SaveOptions) => Promise<Backup>): Promise<Backup> {
  const line = new ProgressLine(context.stderr);
  try {
    return await save({
      createdAt: new Date().toISOString(),
      version: programVersion(),
      progress: (progress) =>
        line.show(
          () =>
            `saving: ${percentOf(progress)}, ${roundedSize(progress.done)} of about ${roundedSize(progress.total)}`,
        ),
    });
  } finally {
    line.clear();
  }
}

function uncommittedText({ first, last }: EntryRange, isIn: boolean): string {
  const isOne = first === last;
  const entries = isOne ? `entry ${first} of the log is` : `entries ${first} to ${last} of the log are`;
  const them = isOne ? "it" : "them";
  return isIn
    ? `${entries} in it, though this node did not know ${them} to be committed: some writes may never have been acknowledged`
    : `${entries} left out, since this node did not know ${them} to be committed: acknowledged writes may be lost with ` +
        `${them}; --uncommitted puts ${them} in`;
}

function tell(context: Context, call: Call, path: string, backup: Backup): void {
  const { index, term, revision, keys, bytes } = backup;
  context.stdout.write(
    call.settings.format === "json"
      ? jsonLine({ file: path, ...backup })
      : `saved ${keys} keys (${bytes} bytes) at revision ${revision}, entry ${index} of term ${term}, in ` +
          `${JSON.stringify(path)}\n`,
  );
}
