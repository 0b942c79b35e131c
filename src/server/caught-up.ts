import type { Progress } from "../raft/progress.ts";
import { learnerLagBytesMax, learnerLagEntriesMax } from "./limits.ts";

/** What the leader knows of how far a learner is. */
export interface LearnerProgress {
  readonly progress: Pick<Progress, "state" | "match" | "isHeard"> | undefined;
  /** Entries of the leader's log that are not known to be there, and about how many bytes they take. */
  readonly lag: number;
  readonly lagBytes: number;
  /** What was sent to it of a state that it fetches from the leader. */
  readonly sent: SentState | undefined;
}

export interface SentState {
  readonly sentBytes: number;
  /** About how many there are. */
  readonly bytes: number;
}

/**
 * Why a learner must not become a voter yet, for people; undefined when it may. A voter that has no state, or lacks much of
 * the log, is one that each commit may have to wait for: for as long as it takes to send that.
 */
export function whyBehind({ progress, lag, lagBytes, sent }: LearnerProgress): string | undefined {
  if (progress?.isHeard !== true) return "the leader has not heard of it lately";
  if (sent !== undefined && progress.state !== "replicate")
    return `its state is being sent, ${megabytes(sent.sentBytes)} of about ${megabytes(sent.bytes)} MB`;
  if (progress.state === "snapshot") return "it has no state yet";
  if (progress.state !== "replicate" || progress.match === 0)
    return "the leader does not know yet what it has";
  if (lag > learnerLagEntriesMax || lagBytes > learnerLagBytesMax)
    return `it lacks ${lag} entries of the log, about ${megabytes(lagBytes)} MB`;
  return undefined;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
