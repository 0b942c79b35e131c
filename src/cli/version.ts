import packageJson from "../../package.json" with { type: "json" };
import type { Command, Context } from "./context.ts";
import { exitStatus } from "./exit-status.ts";
import { jsonLine } from "./output.ts";

/** Set by the build; a run from source has neither. */
declare const KVRAFT_VERSION: string;
declare const KVRAFT_COMMIT: string;

export const versionCommand: Command = {
  name: "version",
  summary: "Print the version",
  usage: "",
  argumentsMin: 0,
  argumentsMax: 0,
  flags: [],
  examples: ["kvraft version", "kvraft version -o json"],
  run: async (context, call) => printVersion(context, call.settings.format),
};

/** Of this program. */
export function programVersion(): string {
  return typeof KVRAFT_VERSION === "string" ? KVRAFT_VERSION : packageJson.version;
}

export function printVersion(context: Context, format: "plain" | "json"): number {
  const version = programVersion();
  const commit = typeof KVRAFT_COMMIT === "string" ? KVRAFT_COMMIT : "source";
  const runtime = `Bun ${Bun.version}`;
  context.stdout.write(
    format === "json"
      ? jsonLine({ version, commit, runtime })
      : `kvraft ${version} (${commit}, ${runtime})\n`,
  );
  return exitStatus.done;
}
