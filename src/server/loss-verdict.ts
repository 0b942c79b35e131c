import type { Clock } from "../env/clock.ts";
import type { NodeId } from "../raft/types.ts";
import type { DialFailureKind } from "../rpc/dial.ts";
import { type HelloReply, noId } from "../rpc/hello.ts";

/** What became of a dial; a connection that was made is an answer. */
export interface DialResult {
  readonly kind: DialFailureKind;
  readonly reply?: HelloReply;
}

/**
 * Whether the process behind a connection that was lost is gone, judged by the dials that follow. There is one verdict
 * for each loss, by the first dial that allows one, and it says "gone" only when that is certain:
 *
 *     nothing listens there                  gone
 *     another node                           gone
 *     the same node                          alive: the connection was reset; or it has started again, and may lead by now:
 *                                            a connection to the process before may have been idle, and its loss found late
 *     no answer                              not known, and it stays so: a network that is cut looks like that
 *     hung up before the hello was answered  not known yet: the next dial tells
 *
 * A verdict comes within verdictMsMax of the loss or not at all. Later nobody waits for it any more, and by then the node
 * may have come back and lead again: that it was gone is an old truth then, about another process.
 */
export class LossVerdict {
  readonly #clock: Clock;
  readonly #nodeId: NodeId;
  /** Until when there is something to judge; undefined while there is nothing. */
  #untilMs: number | undefined = undefined;

  constructor(clock: Clock, nodeId: NodeId) {
    this.#clock = clock;
    this.#nodeId = nodeId;
  }

  /** A connection on which the node had answered was lost. */
  lost(): void {
    this.#untilMs = this.#clock.monotonicMs() + verdictMsMax;
  }

  /** The node has dialled this one: a refusal that comes now was sent before it was there again. */
  cameBack(): void {
    this.#untilMs = undefined;
  }

  /** True at most once for each loss, when what became of this dial shows that the process is gone. */
  isGone({ kind, reply }: DialResult): boolean {
    const untilMs = this.#untilMs;
    if (untilMs === undefined) return false;
    const isLate = this.#clock.monotonicMs() > untilMs;
    if (kind === "hang-up" && !isLate) return false;
    this.#untilMs = undefined;
    if (isLate) return false;
    return kind === "nobody" || (reply !== undefined && this.#isAnother(reply));
  }

  #isAnother({ nodeId }: HelloReply): boolean {
    return nodeId !== noId && nodeId !== this.#nodeId;
  }
}

/** In ms: a machine that is there answers in a small part of it, an election has come by itself at the end of it. */
const verdictMsMax = 1000;
