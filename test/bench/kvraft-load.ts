import { BunClock } from "../../src/env/bun-clock.ts";
import { BunNet } from "../../src/env/bun-net.ts";
import { encodeCommand } from "../../src/kv/command.ts";
import type { Address } from "../../src/lib/address.ts";
import { emptyBytes, toUtf8 } from "../../src/lib/bytes.ts";
import type { Connection } from "../../src/rpc/connection.ts";
import { dial } from "../../src/rpc/dial.ts";
import { type Frame, frameKind } from "../../src/rpc/frame.ts";
import { makeHello, noId } from "../../src/rpc/hello.ts";
import { method } from "../../src/rpc/method.ts";
import { encodeRequestHead } from "../../src/rpc/request.ts";
import type { LoadConnection, Workload } from "./load.ts";

const env = { clock: new BunClock(), net: new BunNet() };
const requestTimeoutMs = 5000;
const lostPauseMs = 100;

/** One client with a session of its own, on a bare connection: the library's queue is not what is measured. */
export class KvraftLoad implements LoadConnection {
  readonly #connection: Connection<undefined>;
  readonly #workload: Workload;
  readonly #kind: "put" | "get";
  readonly #session: string;
  readonly #bornMs: number;
  #sequence = 0;
  #done: (isGood: boolean) => void = () => {};
  #isLost = false;

  static connect(leader: Address, kind: "put" | "get", workload: Workload): Promise<KvraftLoad> {
    const hello = makeHello({ clusterId: noId, nodeId: noId, role: "client", purpose: "client" });
    return new Promise((resolve, reject) => {
      let load: KvraftLoad | undefined;
      const owner = {
        frame: (_: Connection<undefined>, frame: Frame) => load?.reply(frame),
        closed: () => load?.lost(),
      };
      dial(env, leader, hello, 2000, owner, { side: "dialled" }, (outcome) => {
        if (!outcome.ok) return reject(new Error(outcome.text));
        load = new KvraftLoad(outcome.connection, outcome.reply.timeMs, kind, workload);
        resolve(load);
      });
    });
  }

  constructor(connection: Connection<undefined>, bornMs: number, kind: "put" | "get", workload: Workload) {
    this.#connection = connection;
    this.#workload = workload;
    this.#kind = kind;
    this.#bornMs = bornMs;
    this.#session = crypto.randomUUID();
  }

  send(done: (isGood: boolean) => void): void {
    // Without a connection every request fails, no faster than somebody would try again.
    if (this.#isLost) return void setTimeout(done, lostPauseMs, false);
    this.#done = done;
    const isPut = this.#kind === "put";
    const body = this.#connection.begin(frameKind.request, isPut ? method.put : method.get, 1);
    if (body === undefined) return done(false);
    encodeRequestHead(body, requestTimeoutMs);
    const key = toUtf8(this.#workload.key());
    if (isPut) {
      const sequence = ++this.#sequence;
      const session = { name: this.#session, sequence, acknowledged: sequence - 1, bornMs: this.#bornMs };
      const value = this.#workload.value();
      encodeCommand(body, { type: "put", timeMs: 0, session, principal: emptyBytes, key, value });
    } else {
      body.u8(0);
      body.bytes(key);
    }
    this.#connection.end();
    this.#connection.flush();
  }

  reply(frame: Frame): void {
    // Status OK, or for a get also that there is no such key.
    const status = frame.source[frame.offset]!;
    this.#done(status === 0 || (this.#kind === "get" && status === 1));
  }

  lost(): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.#done(false);
  }

  close(): void {
    this.#isLost = true;
    this.#connection.close("the load is over");
  }
}
