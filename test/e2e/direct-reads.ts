import { clientEndsOf } from "../../src/client/kv-client.ts";
import { statusNumber } from "../../src/kv/status.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { ByteReader } from "../../src/lib/codec.ts";
import type { ClientEnd } from "../../src/rpc/client-end.ts";
import { method } from "../../src/rpc/method.ts";
import { decodeAnswerHead } from "../../src/rpc/reply.ts";
import { encodeRequestHead } from "../../src/rpc/request.ts";

/** Asks one node, once a read, and follows nobody's hint: what this very node says. */
export class DirectReads {
  readonly #end: ClientEnd;

  constructor(port: number) {
    this.#end = clientEndsOf([{ host: "127.0.0.1", port }])[0]!;
  }

  /** The value, or undefined when the node did not give one within the time. */
  async get(key: string, timeoutMs: number): Promise<string | undefined> {
    const result = await this.#end.call(
      method.get,
      (body) => {
        encodeRequestHead(body, timeoutMs);
        body.u8(0);
        body.bytes(toUtf8(key));
      },
      timeoutMs,
    );
    if (!result.ok) return undefined;
    const reader = new ByteReader(result.body);
    if (reader.u8() !== statusNumber("OK")) return undefined;
    decodeAnswerHead(reader);
    return Buffer.from(reader.bytes()).toString();
  }

  close(): Promise<void> {
    return this.#end.close();
  }
}
