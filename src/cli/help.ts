import { findTopic, globalFlags, isGroup, usageOf } from "./args.ts";
import type { Command, Flag } from "./context.ts";
import { exitStatus } from "./exit-status.ts";

/** The help command knows the others through `commands`, itself included. */
export function makeHelpCommand(commands: () => readonly Command[]): Command {
  return {
    name: "help",
    summary: "Show help for kvraft or for a command",
    usage: "[command]",
    argumentsMin: 0,
    argumentsMax: 2,
    flags: [],
    examples: ["kvraft help", "kvraft help put", "kvraft help member", "kvraft help member add"],
    run: async (context, call) => {
      const words = call.positionals;
      const topic = words.length === 0 ? undefined : findTopic(words, commands());
      context.stdout.write(helpOn(topic, commands()));
      return exitStatus.done;
    },
  };
}

/** Help for one command, for those that begin with one word, or for all. */
export function helpOn(
  topic: Command | readonly Command[] | undefined,
  commands: readonly Command[],
): string {
  if (topic === undefined) return generalHelp(commands);
  return isGroup(topic) ? groupHelp(topic) : commandHelp(topic);
}

/** What `kvraft help member` and its like print. */
function groupHelp(group: readonly Command[]): string {
  const [first] = group[0]!.name.split(" ");
  return [
    "Commands:",
    ...commandTable(group),
    "",
    "Examples:",
    ...group.flatMap(({ examples }) => examples.slice(0, 1).map((example) => `  ${example}`)),
    "",
    `More on one of them: kvraft help ${first} <command>`,
    "",
  ].join("\n");
}

function commandTable(commands: readonly Command[]): string[] {
  return table(commands.map((command) => [`${command.name} ${command.usage}`.trim(), command.summary]));
}

/** What `kvraft help` prints. */
export function generalHelp(commands: readonly Command[]): string {
  return [
    "kvraft, a replicated key-value database",
    "",
    "Usage: kvraft <command> [arguments] [flags]",
    "",
    "Commands:",
    ...commandTable(commands),
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
function commandHelp(command: Command): string {
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
