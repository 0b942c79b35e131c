import { afterEach, expect, test } from "bun:test";
import { concatBytes, fromHex, toUtf8 } from "../../src/lib/bytes.ts";
import { ByteReader, ByteWriter } from "../../src/lib/codec.ts";
import { ClientEnd } from "../../src/rpc/client-end.ts";
import { beginFrame, endFrame, FrameParser, frameKind } from "../../src/rpc/frame.ts";
import { decodeHelloReply, encodeHello, type Hello, makeHello } from "../../src/rpc/hello.ts";
import { frameBodyBytesMax } from "../../src/rpc/limits.ts";
import type { ListenerOptions } from "../../src/rpc/listener.ts";
import { method } from "../../src/rpc/method.ts";
import { clientHello, EchoService, env, peerHello, until } from "./echo-service.ts";

const services: EchoService[] = [];
const ends: ClientEnd[] = [];
const raws: { terminate(): void }[] = [];

afterEach(async () => {
  for (const raw of raws.splice(0)) raw.terminate();
  await Promise.all(ends.splice(0).map((end) => end.close()));
  await Promise.all(services.splice(0).map((service) => service.listener.close()));
});

function serve(options: Partial<ListenerOptions> = {}): EchoService {
  const service = new EchoService(options);
  services.push(service);
  return service;
}

function client(service: EchoService): ClientEnd {
  const end = new ClientEnd(env, service.address, clientHello);
  ends.push(end);
  return end;
}

/** A connection that may send anything. */
async function stranger(service: EchoService) {
  const seen = { bytes: new Uint8Array(0), isClosed: false };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: service.address.port,
    socket: {
      data(_, bytes) {
        seen.bytes = concatBytes([seen.bytes, bytes]) as typeof seen.bytes;
      },
      close() {
        seen.isClosed = true;
      },
    },
  });
  raws.push(socket);
  return { socket, seen };
}

function frame(
  kind: 1 | 2 | 3 | 4 | 5,
  number: number,
  id: number,
  write: (body: ByteWriter) => void,
): Uint8Array {
  const output = new ByteWriter();
  const start = beginFrame(output, kind, number, id);
  write(output);
  endFrame(output, start);
  return output.copy();
}

const helloFrame = (hello: Hello) => frame(frameKind.hello, 0, 0, (body) => encodeHello(body, hello));

function answerTo(bytes: Uint8Array) {
  const parser = new FrameParser(4096);
  parser.feed(bytes);
  return decodeHelloReply(parser.next()!.reader());
}

async function expectHealthy(end: ClientEnd): Promise<void> {
  const result = await end.call(method.get, (body) => body.raw(toUtf8("well")), 2000);
  expect(result.ok).toBe(true);
}

/** A real TLS 1.3 ClientHello's beginning. */
const tlsHello = fromHex("16030100f8010000f40303")!;

test.each([
  [
    "HTTP",
    toUtf8("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    /: a frame claims 542393671 bytes, at most 4096 are allowed$/,
  ],
  [
    "TLS",
    concatBytes([tlsHello, new Uint8Array(240)]),
    /: a frame claims \d+ bytes, at most 4096 are allowed$/,
  ],
  ["zeros", new Uint8Array(100), /: a frame of 0 bytes fails its checksum$/],
  ["a request without a hello", frame(frameKind.request, 1, 1, () => {}), /: the first frame is no hello$/],
  [
    "a hello that is too large",
    frame(frameKind.hello, 0, 0, (body) => body.skip(5000)),
    /: a frame claims 5000 bytes/,
  ],
  [
    "a hello of garbage",
    frame(frameKind.hello, 0, 0, (body) => body.skip(24)),
    /: the hello does not start with KVRF$/,
  ],
  [
    "a hello cut short",
    frame(frameKind.hello, 0, 0, (body) => body.u32(0x4652564b)),
    /: a record ends early/,
  ],
] as const)("%s instead of a hello costs the connection and one line", async (_, bytes, line) => {
  const service = serve();
  const end = client(service);
  await expectHealthy(end);
  const { socket, seen } = await stranger(service);
  socket.write(bytes);
  await until(() => seen.isClosed, "the stranger is cut off");
  expect(service.lines).toHaveLength(1);
  expect(service.lines[0]).toMatch(/^Closed the connection from 127\.0\.0\.1:\d+: /);
  expect(service.lines[0]).toMatch(line);
  expect(seen.bytes).toHaveLength(0);
  expect(service.closings).toEqual([]);
  await expectHealthy(end);
});

test.each([
  ["garbage", new Uint8Array(64).fill(0xab), /: a frame claims/],
  [
    "a frame over the limit",
    (() => {
      const header = new ByteWriter();
      header.u32(frameBodyBytesMax + 1);
      header.skip(12);
      return header.copy();
    })(),
    /: a frame claims 25165825 bytes, at most 25165824 are allowed$/,
  ],
  [
    "a damaged frame",
    (() => {
      const bytes = frame(frameKind.request, 1, 1, (body) => body.raw(toUtf8("hello")));
      bytes[18]! ^= 4;
      return bytes;
    })(),
    /: a frame of 5 bytes fails its checksum$/,
  ],
  [
    "an argument that cannot be read",
    frame(frameKind.request, method.status, 1, (body) => body.u8(1)),
    /: KVServer.Status cannot be read: a record ends early/,
  ],
] as const)("%s after the hello costs the connection and one line", async (_, bytes, line) => {
  const service = serve();
  const end = client(service);
  await expectHealthy(end);
  const { socket, seen } = await stranger(service);
  socket.write(concatBytes([helloFrame(clientHello), bytes]));
  await until(() => service.closings.length === 1 && seen.isClosed, "the stranger is cut off");
  expect(service.lines).toHaveLength(1);
  expect(service.lines[0]).toMatch(line);
  expect(service.closings[0]!.cause).toBe("protocol");
  await expectHealthy(end);
});

test("a frame that ends in the middle is told, an end between frames is not", async () => {
  const service = serve();
  const { socket } = await stranger(service);
  socket.write(
    concatBytes([helloFrame(clientHello), frame(frameKind.request, 1, 1, () => {}).subarray(0, 9)]),
  );
  await until(() => service.hellos.length === 1, "the hello has arrived");
  socket.shutdown(); // end() would reset the connection when the answer is still unread.
  await until(() => service.closings.length === 1, "the connection is gone");
  expect(service.lines).toEqual([expect.stringMatching(/: the other side ended 9 bytes into a frame$/)]);

  const polite = await stranger(service);
  polite.socket.write(helloFrame(clientHello));
  await until(() => service.hellos.length === 2, "the hello has arrived");
  polite.socket.shutdown();
  await until(() => service.closings.length === 2, "the connection is gone");
  const silent = await stranger(service);
  silent.socket.shutdown();
  await until(() => service.listener.connectionCount === 0, "all are gone");
  expect(service.lines).toHaveLength(1);
});

test("who says no hello in time is cut off with one line", async () => {
  const service = serve({ helloTimeoutMs: 50 });
  const { seen } = await stranger(service);
  const slow = await stranger(service);
  slow.socket.write(helloFrame(clientHello).subarray(0, 20));
  const inTime = client(service);
  await expectHealthy(inTime);
  await until(() => seen.isClosed && slow.seen.isClosed, "both are cut off");
  expect(service.lines).toEqual([
    expect.stringMatching(/: no hello came within 50 ms$/),
    expect.stringMatching(/: no hello came within 50 ms$/),
  ]);
  await Bun.sleep(60);
  await expectHealthy(inTime);
});

test("another version is refused with both ranges, before the owner is asked", async () => {
  const service = serve();
  const { socket, seen } = await stranger(service);
  socket.write(helloFrame({ ...peerHello, versionMin: 2, versionMax: 3 }));
  await until(() => seen.isClosed, "the connection is closed");
  const reply = answerTo(seen.bytes);
  expect(reply.code).toBe("version");
  expect(reply.text).toBe(
    "this node speaks protocol versions 1 to 1, the other side 2 to 3; upgrade the older one",
  );
  expect(service.hellos).toEqual([]);
  expect(service.lines).toEqual([
    expect.stringMatching(/^Refused the connection from 127.0.0.1:\d+: this node speaks/),
  ]);
});

test("the owner's refusal reaches the other side whole, with one line", async () => {
  const service = serve();
  service.greeting = { ...service.greeting, refusal: { code: "cluster", text: "another cluster" } };
  const { socket, seen } = await stranger(service);
  socket.write(concatBytes([helloFrame(peerHello), frame(frameKind.request, 1, 1, () => {})]));
  await until(() => seen.isClosed, "the connection is closed");
  const reply = answerTo(seen.bytes);
  expect([reply.code, reply.text, reply.version]).toEqual(["cluster", "another cluster", 0]);
  expect(service.lines).toEqual([expect.stringMatching(/: another cluster$/)]);
  expect(service.requestCount).toBe(0);
  expect(service.closings).toEqual([]);
});

test("a port takes only the roles it is for", async () => {
  const service = serve({ roles: ["peer"] });
  const result = await client(service).call(method.get, () => {}, 2000);
  expect(result.ok ? "" : result.text).toEndWith("this port is for role peer, not client");
  const peer = new ClientEnd(env, service.address, peerHello);
  ends.push(peer);
  await expectHealthy(peer);
});

test("clients beyond the bound are told so, and peers still get in", async () => {
  const service = serve({ clientConnectionsMax: () => 2, connectionsMax: () => 4 });
  const [first, second, third] = [client(service), client(service), client(service)];
  await expectHealthy(first!);
  await expectHealthy(second!);
  const refused = await third!.call(method.get, () => {}, 2000);
  expect(refused.ok ? "" : refused.text).toEndWith(
    "2 clients are connected, which is the most; try another node or later",
  );
  const peer = new ClientEnd(env, service.address, peerHello);
  ends.push(peer);
  await expectHealthy(peer);
  // Connections as such are at their bound: of strangers the oldest gives way, of the others nobody does.
  const strangers: Awaited<ReturnType<typeof stranger>>[] = [];
  for (let count = 0; count < 4; count++) strangers.push(await stranger(service));
  await until(
    () => strangers.filter(({ seen }) => seen.isClosed).length === 3,
    "all but the newest are dropped",
  );
  expect(strangers.at(-1)!.seen.isClosed).toBe(false);
  expect(service.lines.filter((line) => line.startsWith("Dropped"))).toHaveLength(1);
  await expectHealthy(peer);
  await expectHealthy(second!);
  strangers.at(-1)!.socket.terminate();
  await first!.close();
  await expectHealthy(third!);
});

test("a flood of silent connections never costs one that was accepted, idle as it may be, and a newcomer gets in", async () => {
  const service = serve({ clientConnectionsMax: () => 2, connectionsMax: () => 6 });
  const idle = client(service);
  await expectHealthy(idle);
  let lost = 0;
  const silent = await Promise.all(Array.from({ length: 60 }, () => stranger(service)));
  const peer = new ClientEnd(env, service.address, peerHello, { onLost: () => lost++ });
  ends.push(peer);
  await expectHealthy(peer);
  await until(() => silent.filter(({ seen }) => seen.isClosed).length >= 55, "most are dropped");
  expect(service.listener.connectionCount).toBeLessThanOrEqual(6);
  expect(service.closings).toEqual([]);
  await expectHealthy(idle);
  expect(lost).toBe(0);
});

test("a flood of garbage is no flood of lines", async () => {
  const service = serve();
  for (let count = 0; count < 260; count++) {
    const { socket, seen } = await stranger(service);
    socket.write(new Uint8Array(32).fill(0xff));
    await until(() => seen.isClosed, "the connection is closed");
  }
  expect(service.lines).toHaveLength(200);
  expect(service.lines.at(-1)).toEndWith("more of these are not told for up to 10000 ms");
});

test("connections that are refused for one reason, again and again, are told once", async () => {
  const service = serve();
  for (let count = 0; count < 5; count++) {
    const { socket, seen } = await stranger(service);
    socket.write(helloFrame({ ...clientHello, versionMin: 99, versionMax: 99 }));
    await until(() => seen.isClosed, "the connection is closed");
  }
  expect(service.lines).toEqual([expect.stringContaining("the other side 99 to 99; upgrade the older one")]);
});

test("a client that never reads is cut off with one line, and the others are served", async () => {
  const service = serve({ outputBytesMax: 4 * 1024 * 1024 });
  const end = client(service);
  await expectHealthy(end);
  const { socket } = await stranger(service);
  socket.write(helloFrame(clientHello));
  await until(() => service.hellos.length === 2, "the hello has arrived");
  socket.pause();
  const request = frame(frameKind.request, method.status, 1, (body) => body.u32(1024 * 1024));
  for (let count = 0; count < 100 && service.closings.length === 0; count++) {
    socket.write(request);
    await expectHealthy(end);
  }
  expect(service.closings.map((closing) => closing.cause)).toEqual(["full"]);
  expect(service.lines).toEqual([
    expect.stringMatching(/^Closed the connection from .*: \d+ bytes wait to be read$/),
  ]);
});

test("a graceful close delivers 8 MiB that were queued, to a client that reads slowly", async () => {
  const service = serve();
  const { socket, seen } = await stranger(service);
  const size = 8 * 1024 * 1024;
  socket.write(helloFrame(clientHello));
  await until(() => service.hellos.length === 1, "the hello has arrived");
  socket.pause();
  socket.write(frame(frameKind.request, method.status, 1, (body) => body.u32(size)));
  await until(() => service.requestCount === 1, "the request has arrived");
  // More that is never answered: unread, it would turn the end into a reset.
  socket.write(frame(frameKind.request, method.put, 2, (body) => body.skip(1000)));
  await Bun.sleep(10);
  const closed = service.listener.close();
  await Bun.sleep(30);
  socket.resume();
  await until(() => seen.isClosed, "the connection is closed");
  await closed;
  const parser = new FrameParser(frameBodyBytesMax);
  parser.feed(seen.bytes);
  parser.next();
  expect(parser.next()?.body().length).toBe(size);
  expect(service.closings.map((closing) => closing.cause)).toEqual(["closed"]);
});

test("the owner's state rides on the connection", async () => {
  const service = serve();
  let name: string | undefined;
  service.onRequest = () => {
    name = "asked";
  };
  await expectHealthy(client(service));
  expect(name).toBe("asked");
  expect(service.listener.connectionCount).toBe(1);
});

test("a hello and requests in one packet are all served", async () => {
  const service = serve();
  const { socket, seen } = await stranger(service);
  const hello = helloFrame(makeHello({ ...clientHello }));
  socket.write(
    concatBytes([
      hello,
      frame(1, method.get, 1, (body) => body.raw(toUtf8("a"))),
      frame(1, method.get, 2, (body) => body.raw(toUtf8("b"))),
    ]),
  );
  await until(() => service.requestCount === 2, "the requests have arrived");
  await until(() => seen.bytes.length > 100, "the replies have arrived");
  const parser = new FrameParser(4096);
  parser.feed(seen.bytes);
  expect(decodeHelloReply(new ByteReader(parser.next()!.body())).code).toBe("accepted");
  expect([parser.next()!.requestId, parser.next()!.requestId]).toEqual([1, 2]);
});

test("closeWhere closes the connections it is asked to, after what waits in them, and asks of no stranger", async () => {
  const service = serve();
  const [leaver, stayer] = [new ClientEnd(env, service.address, peerHello), client(service)];
  ends.push(leaver);
  const quiet = await stranger(service);
  await Promise.all([expectHealthy(leaver), expectHealthy(stayer)]);
  const asked: string[] = [];
  service.onRequest = () =>
    env.clock.soon(() =>
      service.listener.closeWhere((connection) => {
        asked.push(connection.hello!.nodeId);
        return connection.hello!.nodeId === peerHello.nodeId;
      }, "the node was removed"),
    );
  // The reply was encoded before: it still leaves.
  const result = await leaver.call(method.get, (body) => body.raw(toUtf8("last")), 2000);
  expect(result.ok).toBe(true);
  await until(() => service.closings.length === 1, "the connection is gone");
  expect(service.closings[0]).toEqual({ cause: "closed", text: "the node was removed" });
  expect(asked.sort()).toEqual([clientHello.nodeId, peerHello.nodeId]);
  service.onRequest = undefined;
  await expectHealthy(stayer);
  expect(quiet.seen.isClosed).toBe(false);
  expect(service.closings).toHaveLength(1);
});

test("no frame is told of a connection that closeWhere has closed", async () => {
  const service = serve();
  const end = new ClientEnd(env, service.address, peerHello);
  ends.push(end);
  await expectHealthy(end);
  for (let number = 0; number < 10; number++) end.send(method.heartbeat, (body) => body.u32(number));
  end.flush();
  service.listener.closeWhere(() => true, "a test");
  await until(() => service.closings.length === 1, "the connection is gone");
  expect(service.messages).toEqual([]);
});
