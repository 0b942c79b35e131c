import type { OperatorCounts } from "./operator.ts";
import type { RaftCoverage } from "./raft-checker.ts";
import type { NetCounts } from "./sky.ts";

/** What a run has had of what comes in some runs only: how often. */
export interface Coverage extends RaftCoverage, OperatorCounts, Omit<NetCounts, "delivered"> {
  /** Files that were dropped from the front of a log. */
  dropped: number;
  /** Nodes that have learned that they were removed. */
  toldRemoved: number;
  wiped: number;
  /** Of these, those whose folders were prepared from the backup again. */
  restoredAgain: number;
  /** Founders that were forgotten when the others were prepared from the backup. */
  forgotten: number;
  /** Folders whose place a copy took, and those that were never used again because members said so. */
  setBack: number;
  condemned: number;
  /** Leaders whose stores hung for so long that they had to hand over. */
  hangingLeaders: number;
  /** Configurations in which a member has another address, and in which two have one. */
  addressChanges: number;
  sharedAddresses: number;
  /** Times that wall time was moved by more than a minute, because most clocks had jumped. */
  wallMoves: number;
  /** Runs at whose end nobody could go on, because too much data was lost for good. */
  hopeless: number;
}
