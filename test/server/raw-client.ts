import { type Command, encodeCommand } from "../../src/kv/command.ts";
import { type Status, statusOf } from "../../src/kv/status.ts";
import { emptyBytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import { ByteReader, type ByteWriter } from "../../src/lib/codec.ts";
import { ClientEnd } from "../../src/rpc/client-end.ts";
import { makeHello, noId } from "../../src/rpc/hello.ts";
import { method } from "../../src/rpc/method.ts";
import { decodeAnswerHead, decodeRefusal } from "../../src/rpc/reply.ts";
import { encodeRequestHead } from "../../src/rpc/request.ts";
import type { Machine, World } from "./world.ts";

export interface RawReply {
  /** What the server said, "lost" or "deadline". Undefined while it has not. */
  status: Status | "lost" | "deadline" | undefined;
  value: string | undefined;
  text: string;
}

/** Asks one server, once, and tells what it said: no search for a leader, no retry. */
export class RawClient {
  readonly #end: ClientEnd;

  constructor(world: World, machine: Machine) {
    const hello = makeHello({ clusterId: noId, nodeId: noId, role: "client", purpose: "client" });
    this.#end = new ClientEnd(world, world.addresses[machine.place]!, hello);
  }

  get serverTimeMs(): number {
    return this.#end.serverTimeMs;
  }

  get(key: string): RawReply {
    return this.call(method.get, 5000, (body) => {
      body.u8(0);
      body.bytes(toUtf8(key));
    });
  }

  put(key: string, value: string, session?: Command["session"], remainingMs = 5000): RawReply {
    return this.call(method.put, remainingMs, (body) =>
      encodeCommand(body, {
        type: "put",
        timeMs: 0,
        session,
        principal: emptyBytes,
        key: toUtf8(key),
        value: toUtf8(value),
      }),
    );
  }

  /** Waits 5 s for the reply, whatever the server is told of the time that remains. */
  call(number: number, remainingMs: number, write: (body: ByteWriter) => void): RawReply {
    const reply: RawReply = { status: undefined, value: undefined, text: "" };
    const encode = (body: ByteWriter) => {
      encodeRequestHead(body, remainingMs);
      write(body);
    };
    void this.#end.call(number, encode, 5000).then((result) => {
      if (!result.ok) {
        reply.status = result.reason === "deadline" ? "deadline" : "lost";
        reply.text = result.text;
        return;
      }
      const reader = new ByteReader(result.body);
      reply.status = statusOf(reader.u8());
      if (reply.status !== "OK" && reply.status !== "ErrNoKey") reply.text = decodeRefusal(reader).text;
      else {
        decodeAnswerHead(reader);
        if (reader.remaining > 0) reply.value = fromUtf8(reader.bytes());
      }
    });
    return reply;
  }

  close(): Promise<void> {
    return this.#end.close();
  }
}
