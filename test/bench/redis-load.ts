import { toUtf8 } from "../../src/lib/bytes.ts";
import type { LoadConnection, Workload } from "./load.ts";

/** One client of Redis on a bare socket: SET or GET in RESP, one at a time. */
export class RedisLoad implements LoadConnection {
  readonly #socket: { write(bytes: Uint8Array): number; end(): void };
  readonly #workload: Workload;
  readonly #kind: "put" | "get";
  #done: (isGood: boolean) => void = () => {};
  #received = 0;
  #wanted = 0;
  #isGood = false;

  static async connect(port: number, kind: "put" | "get", workload: Workload): Promise<RedisLoad> {
    let load: RedisLoad | undefined;
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: { data: (_, bytes) => load?.data(bytes) },
    });
    load = new RedisLoad(socket, kind, workload);
    return load;
  }

  constructor(
    socket: { write(bytes: Uint8Array): number; end(): void },
    kind: "put" | "get",
    workload: Workload,
  ) {
    this.#socket = socket;
    this.#kind = kind;
    this.#workload = workload;
  }

  send(done: (isGood: boolean) => void): void {
    this.#done = done;
    const key = this.#workload.key();
    if (this.#kind === "get") {
      this.#socket.write(toUtf8(`*2\r\n$3\r\nGET\r\n$${key.length}\r\n${key}\r\n`));
      return;
    }
    const value = this.#workload.value();
    const head = toUtf8(`*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${value.length}\r\n`);
    const request = new Uint8Array(head.length + value.length + 2);
    request.set(head);
    request.set(value, head.length);
    request[request.length - 2] = 13;
    request[request.length - 1] = 10;
    this.#socket.write(request);
  }

  /** A reply is `+OK`, `$-1`, or `$length` and so many bytes; there is never more than one. */
  data(bytes: Uint8Array): void {
    if (this.#received === 0) this.#begin(bytes);
    this.#received += bytes.length;
    if (this.#received < this.#wanted) return;
    this.#received = 0;
    this.#done(this.#isGood);
  }

  close(): void {
    this.#socket.end();
  }

  #begin(bytes: Uint8Array): void {
    const lineEnd = bytes.indexOf(13);
    const isBulk = bytes[0] === 36;
    const length = isBulk ? Number(new TextDecoder().decode(bytes.subarray(1, lineEnd))) : -1;
    this.#wanted = lineEnd + 2 + (length >= 0 ? length + 2 : 0);
    this.#isGood = bytes[0] === 43 || isBulk;
  }
}
