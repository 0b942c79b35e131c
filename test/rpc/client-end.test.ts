import { afterEach, expect, test } from "bun:test";
import { Prng } from "../../src/env/prng.ts";
import { copyBytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import type { ByteWriter } from "../../src/lib/codec.ts";
import { ClientEnd, type ClientEndOptions } from "../../src/rpc/client-end.ts";
import { frameKind } from "../../src/rpc/frame.ts";
import { frameBodyBytesMax } from "../../src/rpc/limits.ts";
import { method } from "../../src/rpc/method.ts";
import type { CallResult } from "../../src/rpc/pending-calls.ts";
import { tryConnect } from "../../src/rpc/try-connect.ts";
import { chance, clientHello, EchoService, env, peerHello, until } from "./echo-service.ts";
import { ManualClock, MemoryNet } from "./memory-net.ts";

const services: EchoService[] = [];
const ends: ClientEnd[] = [];

afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end.close()));
  await Promise.all(services.splice(0).map((service) => service.listener.close()));
});

function serve(options: ConstructorParameters<typeof EchoService>[0] = {}): EchoService {
  const service = new EchoService(options);
  services.push(service);
  return service;
}

function endTo(address: { host: string; port: number }, options: ClientEndOptions = {}, hello = clientHello) {
  const end = new ClientEnd(env, address, hello, options);
  ends.push(end);
  return end;
}

const text = (value: string) => (body: ByteWriter) => body.raw(toUtf8(value));

function shown(result: CallResult): string {
  return result.ok ? fromUtf8(result.body) : `${result.reason} wasSent=${result.wasSent}: ${result.text}`;
}

/** A TCP server that accepts and says nothing, or what it is given. */
function rawServer(answer?: Uint8Array) {
  const received: Uint8Array[] = [];
  const sockets: { end(): void; terminate(): void }[] = [];
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        sockets.push(socket);
        if (answer !== undefined) socket.write(answer);
      },
      data(_, bytes) {
        received.push(bytes);
      },
    },
  });
  return {
    address: { host: "127.0.0.1", port: listener.port },
    received,
    sockets,
    stop: () => listener.stop(true),
  };
}

test("a call on an end that is not connected dials and is answered", async () => {
  const service = serve();
  const end = endTo(service.address);
  expect(end.isConnected).toBe(false);
  expect(end.helloReply).toBeUndefined();
  expect(shown(await end.call(method.get, text("hello"), 2000))).toBe("hello");
  expect(end.isConnected).toBe(true);
  expect(service.hellos).toEqual([clientHello]);
  const { timeMs, ...reply } = end.helloReply!;
  expect(timeMs).toBe(0);
  expect(reply).toEqual({
    code: "accepted",
    text: "",
    version: 1,
    bootId: "",
    servers: "",
    ...service.greeting,
  });
});

test("many calls at once are answered each with its own reply", async () => {
  const end = endTo(serve().address);
  const results = await Promise.all(
    Array.from({ length: 5000 }, (_, number) => end.call(method.get, text(`call ${number}`), 4000)),
  );
  expect(results.map(shown)).toEqual(Array.from({ length: 5000 }, (_, number) => `call ${number}`));
});

test("8 MiB go there and back", async () => {
  const end = endTo(serve().address);
  const large = new Uint8Array(8 * 1024 * 1024).fill(3);
  large[large.length - 1] = 9;
  const result = await end.call(method.get, (body) => body.raw(large), 4000);
  expect(result.ok && Buffer.compare(result.body, large)).toBe(0);
});

test("a call that is not answered ends at its deadline, and others go on", async () => {
  const end = endTo(serve().address);
  const startedAt = performance.now();
  const [silent, answered] = await Promise.all([
    end.call(method.put, text("x"), 60),
    end.call(method.get, text("y"), 60),
  ]);
  expect(performance.now() - startedAt).toBeWithin(59, 1000);
  expect(shown(silent)).toBe(
    `deadline wasSent=true: 127.0.0.1:${end.address.port} did not answer within 60 ms`,
  );
  expect(shown(answered)).toBe("y");
});

test("a port that nobody listens on is unreachable, and nothing was sent", async () => {
  const { address, stop } = rawServer();
  stop();
  expect(shown(await endTo(address).call(method.get, text("x"), 2000))).toBe(
    `unreachable wasSent=false: Cannot reach 127.0.0.1:${address.port}: the connection was refused, nothing listens there`,
  );
});

test("a server that never says hello is unreachable after the connect timeout, or the call's own deadline", async () => {
  const { address, stop, sockets } = rawServer();
  const end = endTo(address, { connectTimeoutMs: 80 });
  const [long, short] = await Promise.all([
    end.call(method.get, text("x"), 2000),
    end.call(method.get, text("x"), 20),
  ]);
  expect(shown(long)).toBe(
    `unreachable wasSent=false: Cannot reach 127.0.0.1:${address.port}: ` +
      "it accepted the connection and did not answer the hello within 80 ms",
  );
  expect(shown(short)).toBe(
    `deadline wasSent=false: 127.0.0.1:${address.port} has no connection within 20 ms`,
  );
  expect(sockets).toHaveLength(1);
  stop();
});

test("a server that speaks something else is unreachable by name", async () => {
  const { address, stop } = rawServer(toUtf8("HTTP/1.1 400 Bad Request\r\n\r\n"));
  const result = await endTo(address).call(method.get, text("x"), 2000);
  expect(shown(result)).toStartWith(
    `unreachable wasSent=false: Cannot reach 127.0.0.1:${address.port}: it closed the connection before it answered the hello: a frame claims`,
  );
  stop();
});

test("a refused hello is told with the server's own words, and a foreign cluster with ours", async () => {
  const service = serve();
  service.greeting = { ...service.greeting, refusal: { code: "node", text: "who are you" } };
  const refused = await endTo(service.address).call(method.get, text("x"), 2000);
  const name = `127.0.0.1:${service.address.port}`;
  expect(shown(refused)).toBe(`refused wasSent=false: ${name} refused the connection: who are you`);

  const { refusal: _, ...greeting } = service.greeting;
  service.greeting = { ...greeting, clusterId: "00000000000000c2" };
  const foreign = await endTo(service.address, {}, peerHello).call(method.get, text("x"), 2000);
  expect(shown(foreign)).toBe(
    `refused wasSent=false: ${name} refused the connection: it belongs to cluster 00000000000000c2, ours is 00000000000000c1`,
  );
});

test("calls that wait when the connection breaks are lost, not thrown", async () => {
  const service = serve();
  const end = endTo(service.address);
  await end.call(method.get, text("x"), 2000);
  const waiting = end.call(method.put, text("x"), 2000);
  await until(() => service.requestCount === 2, "the request has arrived");
  await service.listener.close();
  expect(shown(await waiting)).toStartWith(`lost wasSent=true: Lost the connection to 127.0.0.1:`);
  expect(end.isConnected).toBe(false);
});

test("a call whose bytes never left says so when the connection breaks", async () => {
  const service = serve();
  const end = endTo(service.address);
  await end.call(method.get, text("x"), 2000);
  // Encoded in this turn, and the connection is dropped in the same turn, before the flush.
  const waiting = end.call(method.get, text("x"), 2000);
  end.disconnect("a test");
  const late = end.call(method.get, text("x"), 2000);
  expect(shown(await waiting)).toStartWith("lost wasSent=false");
  expect(shown(await late)).toStartWith("lost wasSent=false");
  expect(shown(await end.call(method.get, text("again"), 2000))).toBe("again");
});

test("a late reply is dropped, and answers no other call", async () => {
  const clock = new ManualClock();
  const net = new MemoryNet(clock, new Prng(1));
  const service = new EchoService({}, { net, clock });
  let replyCount = 0;
  service.frame = (connection, frame) => {
    const { requestId } = frame;
    const body = copyBytes(frame.body());
    clock.after(50, () => {
      connection.begin(frameKind.reply, method.get, requestId)!.raw(body);
      connection.end();
      connection.flush();
      replyCount++;
    });
  };
  const onFrame = () => {
    throw new Error("a late reply is not told");
  };
  const end = new ClientEnd({ net, clock }, service.address, clientHello, { onFrame });
  const late = end.call(method.get, text("late"), 30);
  clock.run(35);
  const other = end.call(method.get, text("other"), 1000);
  clock.run(200);
  expect(replyCount).toBe(2);
  expect(shown(await late)).toStartWith("deadline wasSent=true");
  expect(shown(await other)).toBe("other");
  void end.close();
});

test("lease time is told at hello and goes on with ours", async () => {
  const clock = new ManualClock();
  const net = new MemoryNet(clock, new Prng(1));
  const service = new EchoService({}, { net, clock });
  service.greeting = { ...service.greeting, timeMs: 1_000 };
  const end = new ClientEnd({ net, clock }, service.address, clientHello);
  expect(end.serverTimeMs).toBe(0);
  end.connect();
  clock.run(100);
  const before = end.serverTimeMs;
  expect(before - 1_000).toBeWithin(50, 101);
  clock.run(2500);
  expect(end.serverTimeMs).toBe(before + 2500);
  const closed = end.close();
  clock.run(100);
  await closed;
  expect(end.serverTimeMs).toBe(0);
});

test("a server that hangs up after the hello is not dialled in a tight loop", () => {
  const clock = new ManualClock();
  const net = new MemoryNet(clock, new Prng(1));
  const service = new EchoService({}, { net, clock });
  const greet = service.greet.bind(service);
  service.greet = (hello, connection) => {
    clock.after(5, () => connection.terminate({ cause: "closed", text: "a test" }));
    return greet(hello, connection);
  };
  let lostCount = 0;
  const end = new ClientEnd({ net, clock }, service.address, peerHello, {
    keepConnected: { chance },
    onLost: () => lostCount++,
  });
  clock.run(10_000);
  expect(lostCount).toBeWithin(10, 30);
  void end.close();
});

test("an end that is kept connected redials at once what it lost, but not twice in a second, nor what it dropped", () => {
  const clock = new ManualClock();
  const net = new MemoryNet(clock, new Prng(1));
  const { port } = new EchoService({ port: 1 }, { net, clock }).address;
  const dialledAt: number[] = [];
  const counting = {
    listen: net.listen.bind(net),
    connect: (...dial: Parameters<MemoryNet["connect"]>) => {
      dialledAt.push(clock.monotonicMs());
      return net.connect(...dial);
    },
  };
  const end = new ClientEnd({ net: counting, clock }, { host: "memory", port }, peerHello, {
    keepConnected: { chance: { int: (_, max) => max } },
  });
  const dialsAfter = (event: () => void, ms: number) => {
    const startedAt = clock.monotonicMs();
    dialledAt.length = 0;
    event();
    clock.run(ms);
    return dialledAt.map((at) => at - startedAt);
  };
  const reset = () => net.reset(port);
  clock.run(3000);
  expect(dialsAfter(reset, 100)).toEqual([0]);
  expect(dialsAfter(reset, 100)).toEqual([20]);
  expect(dialsAfter(reset, 100)).toEqual([40]);
  clock.run(1000);
  expect(dialsAfter(reset, 100)).toEqual([0]);
  clock.run(1000);
  expect(dialsAfter(() => end.disconnect("a test"), 100)).toEqual([20]);
  expect(end.isConnected).toBe(true);
  void end.close();
  expect(dialsAfter(reset, 1000)).toEqual([]);
});

test("a failed dial tells whether nobody listens, hung up, kept silent, or answered with no", async () => {
  const told: string[] = [];
  const dialTo = async (address: { host: string; port: number }) => {
    const end = endTo(address, {
      connectTimeoutMs: 60,
      onDialFailed: ({ kind, reason }) => told.push(`${kind} ${reason}`),
    });
    await end.call(method.get, text("x"), 2000);
  };
  const closed = rawServer();
  closed.stop();
  await dialTo(closed.address);
  const silent = rawServer();
  await dialTo(silent.address);
  const rude = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: (socket) => void socket.end(), data() {} },
  });
  await dialTo({ host: "127.0.0.1", port: rude.port });
  await dialTo({ host: "no.such.host.invalid", port: 5001 });
  const refusing = serve();
  refusing.greeting = { ...refusing.greeting, refusal: { code: "removed", text: "a test" } };
  await dialTo(refusing.address);
  rude.stop(true);
  silent.stop();
  expect(told).toEqual([
    "nobody unreachable",
    "silence unreachable",
    "hang-up unreachable",
    "silence unreachable",
    "answer refused",
  ]);
});

test("more calls or bytes than may wait are refused at once", async () => {
  const end = endTo(serve().address, { pendingCallsMax: 2 });
  await end.call(method.get, text("x"), 2000);
  const waiting = [end.call(method.put, text("1"), 50), end.call(method.put, text("2"), 50)];
  expect(shown(await end.call(method.get, text("3"), 50))).toStartWith("full wasSent=false: 2 calls");
  for (const result of await Promise.all(waiting)) expect(shown(result)).toStartWith("deadline");
  expect(shown(await end.call(method.get, text("4"), 2000))).toBe("4");

  const narrow = endTo(serve().address, { outputBytesMax: 1000 });
  await narrow.call(method.get, text("x"), 2000);
  const first = narrow.call(method.get, (body) => body.raw(new Uint8Array(5000)), 2000);
  expect(shown(await narrow.call(method.get, text("y"), 2000))).toStartWith("full wasSent=false: 5016 bytes");
  expect((await first).ok).toBe(true);
});

test("a request that is too large or cannot be written rejects, and hurts no other call", async () => {
  const end = endTo(serve().address);
  const before = end.call(method.get, text("before"), 2000);
  const large = end.call(method.get, (body) => body.skip(frameBodyBytesMax + 1), 2000);
  const fail = () => {
    throw new Error("a test");
  };
  const broken = end.call(method.get, fail, 2000);
  const after = end.call(method.get, text("after"), 2000);
  const [largeOutcome, brokenOutcome] = await Promise.allSettled([large, broken]);
  expect(largeOutcome).toMatchObject({ status: "rejected", reason: { code: "INVALID_ARGUMENT" } });
  expect(brokenOutcome).toMatchObject({ status: "rejected", reason: { message: "a test" } });
  expect(shown(await before)).toBe("before");
  expect(shown(await after)).toBe("after");
});

test("send refuses without a connection and when the queue is full, and queues nothing then", async () => {
  const service = serve();
  const end = endTo(service.address, { outputBytesMax: 1000 }, peerHello);
  expect(end.send(method.heartbeat, (body) => body.u32(0))).toBe(false);
  end.connect();
  await until(() => end.isConnected, "the end is connected");
  let count = 0;
  while (end.send(method.heartbeat, (body) => body.u32(count))) count++;
  expect(count).toBe(50); // 20 bytes each, 1000 in all.
  const queued = end.queuedBytes;
  expect(end.send(method.heartbeat, (body) => body.u32(99))).toBe(false);
  expect(end.queuedBytes).toBe(queued);
  end.flush();
  await until(() => service.messages.length === 50, "the messages have arrived");
  expect(service.messages).toEqual(Array.from({ length: 50 }, (_, number) => number));
  expect(end.send(method.heartbeat, (body) => body.u32(50))).toBe(true);
});

test("an end that is kept connected comes back after the server was restarted", async () => {
  const told: string[] = [];
  const first = serve();
  const end = endTo(first.address, {
    keepConnected: { chance },
    onConnected: () => told.push("connected"),
    onLost: () => told.push("lost"),
    onDialFailed: (failure) => {
      if (told.at(-1) !== failure.reason) told.push(failure.reason);
    },
  });
  await until(() => end.isConnected, "the end is connected");
  await first.listener.close();
  await until(() => told.includes("unreachable"), "a redial has failed");
  const second = serve({ port: first.address.port });
  await until(() => end.isConnected, "the end is connected again");
  expect(shown(await end.call(method.get, text("back"), 2000))).toBe("back");
  expect(second.requestCount).toBe(1);
  expect(told).toEqual(["connected", "lost", "unreachable", "connected"]);
});

test("redials are drawn from chance, grow to a second, and begin anew after a connection that lasted", () => {
  const clock = new ManualClock();
  const net = new MemoryNet(clock, new Prng(1));
  const dialledAt: number[] = [];
  const counting = {
    listen: net.listen.bind(net),
    connect: (...args: Parameters<MemoryNet["connect"]>) => {
      dialledAt.push(clock.monotonicMs());
      return net.connect(...args);
    },
  };
  const bounds: string[] = [];
  const highest = {
    int: (min: number, max: number) => {
      bounds.push(`${min}-${max}`);
      return max;
    },
  };
  const end = new ClientEnd({ net: counting, clock }, { host: "memory", port: 1 }, peerHello, {
    keepConnected: { chance: highest },
  });
  clock.run(4000);
  expect(bounds.slice(0, 8)).toEqual([
    "10-20",
    "20-40",
    "40-80",
    "80-160",
    "160-320",
    "320-640",
    "500-1000",
    "500-1000",
  ]);
  expect(dialledAt.slice(0, 4)).toEqual([0, 21, 62, 143]);
  const service = new EchoService({ port: 1 }, { net, clock });
  clock.run(4000);
  expect(end.isConnected).toBe(true);
  bounds.length = 0;
  void service.listener.close();
  clock.run(10);
  expect(bounds).toEqual(["10-20"]);
  void end.close();
  const count = dialledAt.length;
  clock.run(60_000);
  expect(dialledAt).toHaveLength(count);
  expect(clock.pendingCount).toBe(0);
});

test("messages of the server reach the frame handler", async () => {
  const service = serve();
  const seen: string[] = [];
  const end = endTo(service.address, {
    onFrame: (frame) => seen.push(`${frame.kind} ${frame.method} ${fromUtf8(frame.body())}`),
  });
  service.frame = (connection) => {
    connection.begin(3, 99, 0)!.raw(toUtf8("news"));
    connection.end();
    connection.flush();
  };
  void end.call(method.get, text("x"), 100);
  await until(() => seen.length > 0, "the message has arrived");
  expect(seen).toEqual(["3 99 news"]);
});

test("close ends waiting calls, sends what is queued, and later calls fail", async () => {
  const service = serve();
  const end = endTo(service.address);
  await end.call(method.get, text("x"), 2000);
  const waiting = end.call(method.put, (body) => body.raw(new Uint8Array(8 * 1024 * 1024)), 2000);
  const closed = end.close();
  expect(shown(await waiting)).toStartWith("closed wasSent=true");
  await closed;
  expect(service.requestCount).toBe(2);
  expect(shown(await end.call(method.get, text("x"), 100))).toStartWith("closed wasSent=false");
  await end.close();
  const unused = endTo(service.address);
  const dialling = unused.call(method.get, text("x"), 100);
  await unused.close();
  expect(shown(await dialling)).toStartWith("closed wasSent=false");
});

test("tryConnect gives a connected end, or says why not", async () => {
  const service = serve();
  const result = await tryConnect(env, service.address, clientHello, 1000);
  if (!result.ok) throw new Error(result.text);
  ends.push(result.end);
  expect(result.end.isConnected).toBe(true);
  expect(result.end.helloReply?.leader).toBe("127.0.0.1:5001");
  await result.end.close();
  await service.listener.close();
  expect(await tryConnect(env, service.address, clientHello, 1000)).toEqual({
    ok: false,
    reason: "unreachable",
    text: `Cannot reach 127.0.0.1:${service.address.port}: the connection was refused, nothing listens there`,
  });
});
