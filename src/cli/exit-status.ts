import { KvraftError } from "../lib/error.ts";

/**
 * What a command's exit status says. A contract: scripts branch on it.
 *
 * | status | meaning |
 * | --- | --- |
 * | 0 | done; a server stopped as it was told |
 * | 1 | a negative answer (the key is missing, no node leads, damage was found); or a server stopped by a fault, or a bug |
 * | 2 | usage, configuration, a file, a data folder that cannot be used, a port in use; a refused change of members |
 * | 3 | no node accepted the request (unreachable, no leader): certainly nothing happened |
 * | 4 | the server refused it |
 * | 5 | it was proposed and not resolved in time: it may have happened or may yet |
 * | 130, 143 | ended by SIGINT, SIGTERM |
 */
export const exitStatus = {
  done: 0,
  negative: 1,
  fault: 1,
  usage: 2,
  notDone: 3,
  refused: 4,
  unknown: 5,
  interrupted: 130,
  terminated: 143,
} as const;

/** How a request to the cluster failed: the `outcome` of a KVError. */
export type FailedOutcome = "not-done" | "refused" | "unknown";

const statusByOutcome: Readonly<Record<FailedOutcome, number>> = {
  "not-done": exitStatus.notDone,
  refused: exitStatus.refused,
  unknown: exitStatus.unknown,
};

/** The exit status of a command that ended with this error. */
export function exitStatusOf(error: unknown): number {
  const outcome = failedOutcomeOf(error);
  if (outcome === "refused" && isAboutMembers(error)) return exitStatus.usage;
  if (outcome !== undefined) return statusByOutcome[outcome];
  return error instanceof KvraftError ? exitStatus.usage : exitStatus.fault;
}

/** The outcome that a client's error carries; undefined for every other error. */
export function failedOutcomeOf(error: unknown): FailedOutcome | undefined {
  if (!(error instanceof Error) || !("outcome" in error)) return undefined;
  const { outcome } = error;
  return typeof outcome === "string" && outcome in statusByOutcome ? (outcome as FailedOutcome) : undefined;
}

/** What was asked for does not fit the members as they are: the mistake is in the command line. */
function isAboutMembers(error: unknown): boolean {
  return (
    error instanceof Error && "code" in error && ["ErrMembers", "ErrBehind"].includes(String(error.code))
  );
}

/** An error as it is told to people. Only a bug comes with its stack. */
export function describeError(error: unknown): string {
  const isExpected = error instanceof KvraftError || failedOutcomeOf(error) !== undefined;
  if (!(error instanceof Error)) return `kvraft: ${String(error)}`;
  if (!isExpected) return `kvraft: this is a bug in kvraft\n${error.stack ?? error.message}`;
  const problemCount = error.message.split("\n").length;
  const isList = problemCount > 1 && error instanceof KvraftError && error.code === "CONFIG";
  return isList ? `kvraft: ${problemCount} problems\n${error.message}` : `kvraft: ${error.message}`;
}
