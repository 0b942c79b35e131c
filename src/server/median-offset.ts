import { voters } from "../raft/quorum.ts";
import type { Configuration, NodeId } from "../raft/types.ts";

/**
 * The median over all voters, of both halves of a joint configuration, of how far their wall clocks are ahead of lease
 * time. Of an even number the middle value nearer to the present offset. The present offset stands for a voter that was
 * not heard.
 */
export function medianOffset(
  configuration: Configuration,
  presentMs: number,
  offsetOf: (id: NodeId) => number | undefined,
): number {
  const offsets = voters(configuration).map((id) => offsetOf(id) ?? presentMs);
  offsets.sort((a, b) => a - b);
  const upper = offsets[Math.floor(offsets.length / 2)]!;
  const lower = offsets[Math.ceil(offsets.length / 2) - 1]!;
  return Math.abs(lower - presentMs) < Math.abs(upper - presentMs) ? lower : upper;
}
