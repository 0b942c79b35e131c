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
 *     another node or another boot id        gone
 *     the same node with the same boot id    alive: the connection was merely reset
 *     no answer, or no boot id in it         not known, and it stays so: a network that is cut looks like that
 *     hung up before the hello was answered  not known yet: the next dial tells
 *
 * A verdict comes within verdictMsMax of the loss or not at all. Later nobody waits for it any more, and by then the node
 * may have come back and lead again: that it was gone is an old truth then, about another process.
 */
export class LossVerdict {
  readonly #clock: Clock;
  readonly #nodeId: NodeId;
  /** Of the process that was connected last; empty when it did not tell. */
  #bootId = "";
  /** Undefined while there is nothing to judge. */
  #loss: { readonly bootId: string; readonly untilMs: number } | undefined = undefined;

  constructor(clock: Clock, nodeId: NodeId) {
    this.#clock = clock;
    this.#nodeId = nodeId;
  }

  /** The node has answered on a connection that may be used. */
  connected(reply: HelloReply): void {
    this.#bootId = reply.bootId;
  }

  /** That connection was lost. */
  lost(): void {
    this.#loss = { bootId: this.#bootId, untilMs: this.#clock.monotonicMs() + verdictMsMax };
  }

  /** True at most once for each loss, when what became of this dial shows that the process is gone. */
  isGone({ kind, reply }: DialResult): boolean {
    const loss = this.#loss;
    if (loss === undefined) return false;
    const isLate = this.#clock.monotonicMs() > loss.untilMs;
    if (kind === "hang-up" && !isLate) return false;
    this.#loss = undefined;
    if (isLate) return false;
    return kind === "nobody" || (reply !== undefined && this.#isAnother(reply, loss.bootId));
  }

  #isAnother({ nodeId, bootId }: HelloReply, before: string): boolean {
    if (nodeId !== noId && nodeId !== this.#nodeId) return true;
    return bootId !== "" && before !== "" && bootId !== before;
  }
}

/** In ms: a machine that is there answers in a small part of it, an election has come by itself at the end of it. */
const verdictMsMax = 1000;
