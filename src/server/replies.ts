import { isRetryable, type Status, statusNumber } from "../kv/status.ts";
import type { ByteWriter } from "../lib/codec.ts";
import type { Connection } from "../rpc/connection.ts";
import { frameKind } from "../rpc/frame.ts";
import { encodeAnswerHead, encodeRefusal } from "../rpc/reply.ts";
import type { Guest } from "./guest.ts";

/** The way back to who asked. */
export interface ReplyTo {
  readonly connection: Connection<Guest>;
  readonly method: number;
  readonly requestId: number;
}

export interface RepliesOptions {
  readonly term: () => number;
  /** The database's revision now. */
  readonly revision: () => number;
  /** `host:port` of the node that leads as far as is known, or empty. */
  readonly leaderAddress: () => string;
  /** Lease time now. */
  readonly leaseMs: () => number;
  /** The connection has frames that wait for the end of the turn. */
  readonly markDirty: (connection: Connection<Guest>) => void;
}

/** How requests are answered. To a connection that is gone nothing is said: nobody waits there any more. */
export class Replies {
  readonly #options: RepliesOptions;

  constructor(options: RepliesOptions) {
    this.#options = options;
  }

  answer(replyTo: ReplyTo, status: "OK" | "ErrNoKey", payload?: (body: ByteWriter) => void): void {
    this.answerAt(replyTo, status, this.#options.revision(), payload);
  }

  /** The answer of an earlier moment. */
  answerAt(
    replyTo: ReplyTo,
    status: "OK" | "ErrNoKey",
    revision: number,
    payload?: (body: ByteWriter) => void,
  ): void {
    const body = this.#begin(replyTo);
    if (body === undefined) return;
    encodeAnswerHead(body, statusNumber(status), { term: this.#options.term(), revision });
    payload?.(body);
    this.#end(replyTo);
  }

  refuse(replyTo: ReplyTo, status: Status, text: string): void {
    const body = this.#begin(replyTo);
    if (body === undefined) return;
    encodeRefusal(body, statusNumber(status), {
      retryable: isRetryable(status),
      wasProposed: status === "CommitTimeout",
      leader: this.#options.leaderAddress(),
      text,
      ...(status === "ErrSessionEnded" ? { timeMs: this.#options.leaseMs() } : {}),
    });
    this.#end(replyTo);
  }

  refuseAsFollower(replyTo: ReplyTo): void {
    const leader = this.#options.leaderAddress();
    this.refuse(replyTo, "ErrWrongLeader", leader === "" ? "No leader is known" : `The leader is ${leader}`);
  }

  refuseAsBusy(replyTo: ReplyTo): void {
    this.refuse(replyTo, "ErrBusy", "Too many requests wait already; try again in a moment");
  }

  unknown(replyTo: ReplyTo, text: string): void {
    this.refuse(replyTo, "CommitTimeout", text);
  }

  #begin({ connection, method, requestId }: ReplyTo): ByteWriter | undefined {
    return connection.begin(frameKind.reply, method, requestId);
  }

  #end({ connection }: ReplyTo): void {
    connection.end();
    this.#options.markDirty(connection);
  }
}
