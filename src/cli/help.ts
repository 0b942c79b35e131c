import { findCommand, globalFlags, usageOf } from "./args.ts";
import type { Command, Flag } from "./context.ts";
import { exitStatus } from "./exit-status.ts";

/** The help command knows the others through `commands`, itself included. */
export function makeHelpCommand(commands: () => readonly Command[]): Command {
  return {
    name: "help",
    summary: "Show help for kvraft or for a command",
    usage: "[command]",
    argumentsMin: 0,
    argumentsMax: 1,
    flags: [],
    examples: ["kvraft help", "kvraft help put"],
    run: async (context, call) => {
      const [name] = call.positionals;
      const command = name === undefined ? undefined : findCommand(name, commands());
      context.stdout.write(command === undefined ? generalHelp(commands()) : commandHelp(command));
      return exitStatus.done;
    },
  };
}

/** What `kvraft help` prints. */
export function generalHelp(commands: readonly Command[]): string {
  return [
    "kvraft, a replicated key-value database",
    "",
    "Usage: kvraft <command> [arguments] [flags]",
    "",
    "Commands:",
    ...table(commands.map((command) => [`${command.name} ${command.usage}`.trim(), command.summary])),
    "",
    "Flags of every command:",
    ...flagTable(globalFlags),
    "",
    "Examples:",
    "  kvraft dev                       three nodes on this machine, and a prompt on them",
    "  kvraft put greeting hello        store a value",
    "  kvraft get greeting              print it",
    "",
    "Exit status: 0 done, 1 negative answer or a server's fault, 2 usage or configuration, 3 no node accepted it,",
    "4 refused by the server, 5 outcome unknown. More on a command: kvraft help <command>",
    "",
  ].join("\n");
}

/** What `kvraft help <command>` and `kvraft <command> --help` print. */
export function commandHelp(command: Command): string {
  const flags = flagTable(command.flags);
  return [
    command.summary,
    "",
    `Usage: ${usageOf(command)}`,
    ...(command.aliases === undefined
      ? []
      : [`Also:  ${command.aliases.map((name) => `kvraft ${name}`).join(", ")}`]),
    ...(command.details === undefined ? [] : ["", command.details]),
    ...(flags.length === 0 ? [] : ["", "Flags:", ...flags]),
    "",
    "Examples:",
    ...command.examples.map((example) => `  ${example}`),
    "",
    "Flags of every command: kvraft help",
    "",
  ].join("\n");
}

function flagTable(flags: readonly Flag[]): string[] {
  return table(
    flags
      .filter(({ isHidden }) => !isHidden)
      .map(({ name, short, value, summary }) => [
        `${short === undefined ? "    " : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`,
        summary,
      ]),
  );
}

/** Lines of two columns, the first as wide as it must be. */
export function table(rows: readonly (readonly [string, string] | string[])[]): string[] {
  const width = Math.max(0, ...rows.map(([left = ""]) => left.length));
  return rows.map(([left = "", right = ""]) => `  ${left.padEnd(width)}  ${right}`.trimEnd());
}
