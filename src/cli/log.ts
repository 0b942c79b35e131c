import type { LogLevel } from "../config/config.ts";
import type { Output } from "./context.ts";

const rankByLevel: Readonly<Record<LogLevel, number>> = { error: 0, warn: 1, info: 2, debug: 3 };

/**
 * Writes the lines of a level, which may change, and those more urgent: `2026-01-02T03:04:05.678Z info  text`.
 */
export function logTo(
  output: Output,
  settings: { readonly logLevel: LogLevel },
  wallMs: () => number = Date.now,
): (level: LogLevel, line: string) => void {
  return (level, line) => {
    if (rankByLevel[level] > rankByLevel[settings.logLevel]) return;
    // A further line is set in, so that text from a peer cannot pass for a log line.
    const text = line.replaceAll("\n", "\n  ");
    output.write(`${new Date(wallMs()).toISOString()} ${level.padEnd(5)} ${text}\n`);
  };
}
