import { parseCommandLine } from "./args.ts";
import type { Command, Context } from "./context.ts";
import { deleteCommand } from "./delete.ts";
import { devCommand } from "./dev.ts";
import { doctorCommand } from "./doctor.ts";
import { describeError, exitStatus, exitStatusOf } from "./exit-status.ts";
import { getCommand } from "./get.ts";
import { generalHelp, helpOn, makeHelpCommand } from "./help.ts";
import { leaderTransferCommand } from "./leader-transfer.ts";
import { memberAddCommand } from "./member-add.ts";
import { memberListCommand } from "./member-list.ts";
import { memberPromoteCommand } from "./member-promote.ts";
import { memberRemoveCommand } from "./member-remove.ts";
import { memberReplaceCommand } from "./member-replace.ts";
import { putCommand } from "./put.ts";
import { replCommand } from "./repl.ts";
import { serverCommand } from "./server.ts";
import { snapshotInspectCommand } from "./snapshot-inspect.ts";
import { snapshotRestoreCommand } from "./snapshot-restore.ts";
import { snapshotSaveCommand } from "./snapshot-save.ts";
import { statusCommand } from "./status.ts";
import { printVersion, versionCommand } from "./version.ts";

/** Every command, in the order help lists them. */
export const commands: readonly Command[] = [
  serverCommand,
  devCommand,
  replCommand,
  getCommand,
  putCommand,
  deleteCommand,
  statusCommand,
  memberListCommand,
  memberAddCommand,
  memberPromoteCommand,
  memberRemoveCommand,
  memberReplaceCommand,
  leaderTransferCommand,
  snapshotSaveCommand,
  snapshotInspectCommand,
  snapshotRestoreCommand,
  doctorCommand,
  versionCommand,
  makeHelpCommand(() => commands),
];

/** Runs the command that the arguments name and yields its exit status. Never rejects: an error has been told. */
export async function runCommandLine(context: Context, args: readonly string[]): Promise<number> {
  try {
    const parsed = parseCommandLine(args, commands);
    switch (parsed.kind) {
      case "call":
        return await parsed.command.run(context, parsed.call);
      case "version":
        return printVersion(context, parsed.settings.format);
      case "help":
        context.stdout.write(helpOn(parsed.topic, commands));
        return exitStatus.done;
      case "nothing":
        context.stderr.write(generalHelp(commands));
        return exitStatus.usage;
    }
  } catch (error) {
    context.stderr.write(`${describeError(error)}\n`);
    return exitStatusOf(error);
  }
}
