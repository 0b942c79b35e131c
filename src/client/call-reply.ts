import { type Status, statusOf } from "../kv/status.ts";
import { type Address, parseAddress } from "../lib/address.ts";
import { ByteReader, DecodeError } from "../lib/codec.ts";
import type { CallResult } from "../rpc/pending-calls.ts";
import { decodeAnswerHead, decodeRefusal } from "../rpc/reply.ts";

/** A call's result as the client sees it. */
export type Reply<Payload> =
  | { readonly kind: "answer"; readonly status: "OK"; readonly payload: Payload }
  | { readonly kind: "answer"; readonly status: "ErrNoKey" }
  | Failure;

export interface Failure {
  readonly kind: "failure";
  /** A status, or `Unreachable` when nobody answered. */
  readonly code: Status | "Unreachable";
  readonly retryable: boolean;
  /** This attempt may have been proposed, and may still come to pass. */
  readonly mayBeProposed: boolean;
  readonly leader: Address | undefined;
  /** Nobody said anything in the time that was given. */
  readonly isLate: boolean;
  /** The leader's lease time, if it told it. */
  readonly timeMs?: number;
  readonly text: string;
}

/**
 * Decodes the result of a call; `decode` reads the payload that its method has. A reply that cannot be read counts as
 * none: the request may have been done.
 */
export function replyOf<Payload>(
  result: CallResult,
  decode: (payload: ByteReader) => Payload,
): Reply<Payload> {
  if (!result.ok) return unreachable(result.wasSent, result.text, result.reason === "deadline");
  try {
    const reader = new ByteReader(result.body);
    const status = statusOf(reader.u8());
    if (status === undefined) throw new DecodeError("the reply has an unknown status");
    if (status === "OK" || status === "ErrNoKey") {
      decodeAnswerHead(reader);
      return status === "OK"
        ? { kind: "answer", status, payload: decode(reader) }
        : { kind: "answer", status };
    }
    const { retryable, wasProposed, leader, text, timeMs } = decodeRefusal(reader);
    return {
      kind: "failure",
      code: status,
      retryable,
      mayBeProposed: wasProposed,
      leader: parseAddress(leader),
      isLate: false,
      text,
      ...(timeMs === undefined ? {} : { timeMs }),
    };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return unreachable(true, `The server's reply cannot be read: ${error.message}`, false);
  }
}

function unreachable(mayBeProposed: boolean, text: string, isLate: boolean): Failure {
  return {
    kind: "failure",
    code: "Unreachable",
    retryable: true,
    mayBeProposed,
    leader: undefined,
    isLate,
    text,
  };
}
