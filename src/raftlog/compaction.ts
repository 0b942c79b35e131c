import { assert } from "../lib/assert.ts";
import type { Index } from "../raft/types.ts";
import type { LogMap } from "./log-map.ts";
import { segmentHeaderBytes } from "./segment.ts";

/** What has to stay in the log when its front is dropped. */
export interface Keep {
  /** Entries behind this one stay: the store holds everything up to here, durably. */
  readonly upTo: Index;
  /** The youngest entries stay too, for followers that are a little behind: this many of them ... */
  readonly tailEntries: number;
  /** ... or fewer, when they take this many bytes of the files' content. */
  readonly tailBytes: number;
}

/** Whether the log may begin with its second segment. Segments are dropped whole, and never the newest. */
export function mayDropFirst({ segments, lastIndex }: LogMap, keep: Keep): boolean {
  const { upTo, tailEntries, tailBytes } = keep;
  assert(tailEntries >= 0 && tailBytes >= 0, "what has to stay is counted");
  const [first, ...later] = segments;
  if (first === undefined || later.length === 0 || first.to > upTo + 1) return false;
  if (lastIndex + 1 - first.to >= tailEntries) return true;
  let bytes = 0;
  for (const { contentBytes, from, to } of later) if (from < to) bytes += contentBytes - segmentHeaderBytes;
  return bytes >= tailBytes;
}
