import type { Socket } from "bun";
import { ByteWriter } from "../../src/lib/codec.ts";
import { beginFrame, endFrame, type FrameKind, frameKind } from "../../src/rpc/frame.ts";
import { encodeHello, type Hello, makeHello, noId } from "../../src/rpc/hello.ts";
import { method } from "../../src/rpc/method.ts";
import { encodeRequestHead } from "../../src/rpc/request.ts";
import { until } from "./wait.ts";

/** A socket to a server that sends whatever it is told, and reads unless it is told not to. */
export class Stranger {
  isClosed = false;
  received = 0;
  #socket: Socket | undefined;

  static async connect(port: number): Promise<Stranger> {
    const stranger = new Stranger();
    stranger.#socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_, bytes) => {
          stranger.received += bytes.length;
        },
        close: () => {
          stranger.isClosed = true;
        },
      },
    });
    return stranger;
  }

  /** Returns how much of it the socket took. */
  send(bytes: Uint8Array): number {
    return this.#socket!.write(bytes);
  }

  stopReading(): void {
    this.#socket!.pause();
  }

  readAgain(): void {
    this.#socket!.resume();
  }

  end(): void {
    this.#socket!.end();
  }

  async closedByServer(timeoutMs = 3_000): Promise<void> {
    await until("the server closed the connection", () => this.isClosed, timeoutMs);
  }
}

export function frame(
  kind: FrameKind,
  number: number,
  body: (writer: ByteWriter) => void,
  requestId = 1,
): Uint8Array {
  const writer = new ByteWriter();
  const start = beginFrame(writer, kind, number, requestId);
  body(writer);
  endFrame(writer, start);
  return writer.take();
}

export function hello(fields: Partial<Hello> = {}): Uint8Array {
  const base = makeHello({ clusterId: noId, nodeId: noId, role: "client", purpose: "client" });
  return frame(frameKind.hello, 0, (writer) => encodeHello(writer, { ...base, ...fields }), 0);
}

export const getOf = (key: string, requestId: number) =>
  frame(
    frameKind.request,
    method.get,
    (writer) => {
      encodeRequestHead(writer, 5_000);
      writer.u8(0);
      writer.text(key);
    },
    requestId,
  );
