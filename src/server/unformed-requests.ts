import { statusNumber } from "../kv/status.ts";
import type { Connection } from "../rpc/connection.ts";
import { type Frame, frameKind } from "../rpc/frame.ts";
import { method } from "../rpc/method.ts";
import { encodeAnswerHead, encodeRefusal } from "../rpc/reply.ts";
import type { Guest } from "./guest.ts";
import type { Identity } from "./identity.ts";

/** Answers a client while the cluster is not formed: status as it is, and no to all else. */
export function answerUnformed(
  connection: Connection<Guest>,
  frame: Frame,
  identity: Identity,
  address: string,
): void {
  const body = connection.begin(frameKind.reply, frame.method, frame.requestId);
  if (body === undefined) return;
  if (frame.method === method.status) {
    encodeAnswerHead(body, statusNumber("OK"), { term: 0, revision: 0 });
    body.text(JSON.stringify({ address, nodeId: identity.nodeId, state: identity.state, role: "waiting" }));
  } else {
    const text = "The cluster is not formed yet: this server waits for the others";
    encodeRefusal(body, statusNumber("ErrWrongLeader"), {
      retryable: true,
      wasProposed: false,
      leader: "",
      text,
    });
  }
  connection.end();
  connection.flush();
}
