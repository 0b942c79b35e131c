import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BunNet } from "../../src/env/bun-net.ts";
import type { Acceptor, Socket, SocketHandler } from "../../src/env/net.ts";
import { KvraftError } from "../../src/lib/error.ts";

const net = new BunNet();
const acceptors: Acceptor[] = [];
const sides: Side[] = [];

afterEach(() => {
  for (const acceptor of acceptors.splice(0)) acceptor.close();
  for (const side of sides.splice(0)) side.socket.terminate();
});

/** One side of a connection that remembers what it was told, and that no call nested in another. */
class Side implements SocketHandler {
  readonly socket: Socket;
  readonly told: string[] = [];
  received = 0;
  readonly hash = new Bun.CryptoHasher("md5");
  isInside = false;
  rest: Uint8Array = new Uint8Array(0);
  onData: ((bytes: Uint8Array) => void) | undefined = undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    sides.push(this);
  }

  /** Writes everything, as there is room. */
  send(bytes: Uint8Array): void {
    this.rest = bytes;
    this.drain();
  }

  /** Calls the socket in a way that shows when the socket calls back from inside. */
  inside<T>(run: () => T): T {
    this.isInside = true;
    const result = run();
    this.isInside = false;
    return result;
  }

  data(bytes: Uint8Array): void {
    this.#note("data");
    this.received += bytes.length;
    this.hash.update(bytes);
    this.onData?.(bytes);
  }

  drain(): void {
    if (this.rest.length === 0) return;
    const count = this.inside(() => this.socket.write(this.rest));
    this.rest = this.rest.subarray(Math.max(count, 0));
  }

  ended(): void {
    this.#note("ended");
  }

  closed(reason: string): void {
    this.#note(`closed: ${reason}`);
  }

  #note(what: string): void {
    if (this.isInside) this.told.push("NESTED");
    if (this.told.at(-1) !== what) this.told.push(what);
  }
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const startedAt = performance.now();
  while (!condition()) {
    if (performance.now() - startedAt > 3000) throw new Error(`still not so: ${what}`);
    await Bun.sleep(1);
  }
}

async function pair(): Promise<{ near: Side; far: Side; acceptor: Acceptor }> {
  let far: Side | undefined;
  let near: Side | undefined;
  const acceptor = net.listen("127.0.0.1", 0, (socket) => {
    far = new Side(socket);
    return far;
  });
  acceptors.push(acceptor);
  net.connect(
    "127.0.0.1",
    acceptor.port,
    (socket) => {
      near = new Side(socket);
      return near;
    },
    (reason) => {
      throw new Error(reason);
    },
  );
  await until(() => near !== undefined && far !== undefined, "both sides are open");
  return { near: near!, far: far!, acceptor };
}

test("both sides know each other's address", async () => {
  const { near, far, acceptor } = await pair();
  expect(near.socket.remote).toBe(`127.0.0.1:${acceptor.port}`);
  expect(far.socket.remote).toMatch(/^127\.0\.0\.1:\d+$/);
});

test("8 MiB arrive whole and in order through short writes", async () => {
  const { near, far } = await pair();
  const bytes = new Uint8Array(8 * 1024 * 1024);
  for (let offset = 0; offset < bytes.length; offset++) bytes[offset] = offset % 251;
  near.send(bytes);
  expect(near.rest.length).toBeGreaterThan(0);
  await until(() => far.received === bytes.length, "all has arrived");
  expect(far.hash.digest("hex")).toBe(new Bun.CryptoHasher("md5").update(bytes).digest("hex"));
  expect(far.told).toEqual(["data"]);
});

test("data may be kept", async () => {
  const { near, far } = await pair();
  const kept: Uint8Array[] = [];
  far.onData = (bytes) => kept.push(bytes);
  for (let value = 1; value <= 5; value++) {
    near.socket.write(new Uint8Array(1000).fill(value));
    await until(() => far.received === value * 1000, "the bytes are there");
  }
  let position = 0;
  for (const bytes of kept) for (const byte of bytes) expect(byte).toBe(Math.floor(position++ / 1000) + 1);
});

test("after one side has ended the other may still send, and both close once", async () => {
  const { near, far } = await pair();
  near.socket.write(new Uint8Array(10));
  near.inside(() => near.socket.shutdown());
  await until(() => far.told.includes("ended"), "the end is told");
  expect(far.told).toEqual(["data", "ended"]);
  const reply = new Uint8Array(6 * 1024 * 1024);
  far.send(reply);
  await until(() => near.received === reply.length, "the late reply has arrived");
  far.inside(() => far.socket.shutdown());
  await until(() => near.told.length === 2 && far.told.length === 3, "both are closed");
  // The end of the second side is the end of the connection: nobody waits for the difference.
  expect(near.told).toEqual(["data", "closed: the connection is closed"]);
  expect(far.told).toEqual(["data", "ended", "closed: the connection is closed"]);
  await Bun.sleep(5);
  expect(near.told).toHaveLength(2);
  expect(far.told).toHaveLength(3);
});

test("shutdown loses nothing that was written before", async () => {
  const { near, far } = await pair();
  const accepted = near.socket.write(new Uint8Array(8 * 1024 * 1024));
  expect(accepted).toBeGreaterThan(100_000);
  far.socket.write(new Uint8Array(1000)); // Unread bytes at a plain close would reset the connection.
  near.socket.shutdown();
  await until(() => far.told.includes("ended"), "the end is told");
  expect(far.received).toBe(accepted);
});

test("terminate tells its own side once and later, and the other side that it was reset", async () => {
  const { near, far } = await pair();
  near.inside(() => near.socket.terminate());
  near.inside(() => near.socket.terminate());
  expect(near.told).toEqual([]);
  await until(() => near.told.length > 0 && far.told.length > 0, "both are closed");
  await Bun.sleep(5);
  expect(near.told).toEqual(["closed: the connection is closed"]);
  expect(far.told).toEqual(["closed: the other side reset the connection"]);
});

test("nothing but closed is told after terminate", async () => {
  const { near, far } = await pair();
  far.onData = () => far.socket.terminate();
  near.socket.write(new Uint8Array(10));
  await until(() => far.told.length >= 2 && near.told.length >= 1, "both are closed");
  expect(far.told).toEqual(["data", "closed: the connection is closed"]);
});

test("a closed socket takes no bytes", async () => {
  const { near, far } = await pair();
  far.socket.terminate();
  expect(far.socket.write(new Uint8Array(1))).toBe(-1);
  await until(() => near.told.length > 0, "the other side is closed");
  expect(near.socket.write(new Uint8Array(1))).toBe(-1);
  near.socket.shutdown();
  near.socket.terminate();
});

test("an acceptor that is closed keeps its connections and takes no more", async () => {
  const { near, far, acceptor } = await pair();
  acceptor.close();
  near.socket.write(new Uint8Array(3));
  await until(() => far.received === 3, "the bytes are there");
  expect(await failureOf("127.0.0.1", acceptor.port)).toBe(`refused: ${nobodyText}`);
});

const nobodyText = "the connection was refused, nothing listens there";

function failureOf(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    let isLater = false;
    net.connect(
      host,
      port,
      () => {
        throw new Error("opened");
      },
      (reason, kind) => resolve(isLater ? `${kind}: ${reason}` : "NESTED"),
    );
    isLater = true;
  });
}

test("a peer that resets at once is a connection that closes, not an exception", async () => {
  const script = join(import.meta.dir, "reset-at-once.ts");
  const child = Bun.spawn([process.execPath, script], { stderr: "pipe", timeout: 10_000 });
  expect(await new Response(child.stdout).text()).toBe("50 opened or failed, 0 exceptions\n");
});

test("a dial that cannot succeed says why, later", async () => {
  expect(await failureOf("no.such.host.invalid", 5001)).toBe("unreachable: the host is unknown");
  expect(await failureOf("127.0.0.1", 99_999)).toStartWith("unreachable: ERR_SOCKET_BAD_PORT");
});

test("a dial to a port that nobody listens on is refused, quickly", async () => {
  const { acceptor } = await pair();
  acceptor.close();
  for (const host of ["127.0.0.1", "localhost"]) {
    const startedAt = performance.now();
    expect(await failureOf(host, acceptor.port)).toBe(`refused: ${nobodyText}`);
    expect(performance.now() - startedAt).toBeLessThan(500);
  }
});

/** A network of its own, in which nothing is up; not every machine lets us make one. */
const alone = ["unshare", "--map-root-user", "--net"];
const canBeAlone = Bun.which("unshare") !== null && Bun.spawnSync([...alone, "true"]).exitCode === 0;

test.skipIf(!canBeAlone)("a dial of a machine that has no network is not refused", () => {
  const script = join(import.meta.dir, "dial-once.ts");
  const dial = (...how: string[]) =>
    Bun.spawnSync([...how, process.execPath, script, "127.0.0.1", "1"]).stdout.toString();
  expect(dial(...alone)).toBe("unreachable: this machine has no way to the host\n");
  expect(dial()).toBe(`refused: ${nobodyText}\n`);
});

test("a dial that was cancelled is never told of, and no connection of it stays", async () => {
  const far: Side[] = [];
  const acceptor = net.listen("127.0.0.1", 0, (socket) => {
    const side = new Side(socket);
    far.push(side);
    return side;
  });
  acceptors.push(acceptor);
  const told: string[] = [];
  const note = (what: string) => {
    told.push(what);
    throw new Error(what);
  };
  net.connect("127.0.0.1", acceptor.port, () => note("opened"), note).cancel();
  net.connect("127.0.0.1", 1, () => note("opened"), note).cancel();
  net.connect("localhost", acceptor.port, () => note("opened"), note).cancel();
  await Bun.sleep(50);
  expect(far.filter((side) => !side.told.some((what) => what.startsWith("closed")))).toEqual([]);
  expect(told).toEqual([]);
});

/** What a script prints that runs in a network of its own, with a loopback that swallows all that is sent to 203.0.113.1. */
function inSilentNetwork(script: string, ...args: string[]): string {
  const path = join(import.meta.dir, script);
  const setUp = 'ip link set lo up && ip route add 203.0.113.0/24 dev lo && exec "$@"';
  const how = ["unshare", "--map-root-user", "--net", "--mount", "sh", "-c", setUp, "sh"];
  const child = Bun.spawnSync([...how, process.execPath, path, ...args], { timeout: 30_000 });
  return child.stdout.toString() + child.stderr.toString();
}
const hasSilentNetwork =
  canBeAlone &&
  Bun.which("ip") !== null &&
  Bun.spawnSync([...alone, "--mount", "ip", "link", "set", "lo", "up"]).exitCode === 0;

test.skipIf(!hasSilentNetwork)("a dial that is given up while nobody answers holds no descriptor", () => {
  expect(inSilentNetwork("given-up-dials.ts")).toBe(
    "30 more while they hang, 0 more when they were given up\n",
  );
});

test.skipIf(!hasSilentNetwork)(
  "lookups that hang hold up neither the event loop, nor files, nor other dials",
  () => {
    const folder = mkdtempSync(join(tmpdir(), "kvraft-resolver-"));
    try {
      expect(inSilentNetwork("hanging-lookups.ts", folder)).toBe(
        "40 lookups hang: the loop goes on, files are written, an address and localhost are reached, " +
          "8 dials failed with: too many lookups of host names are under way\n",
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);

test("an address that is taken or not ours is refused by name", async () => {
  const { acceptor } = await pair();
  const why = (host: string, port: number) => {
    try {
      acceptors.push(net.listen(host, port, (socket) => new Side(socket)));
      return "listening";
    } catch (error) {
      expect(error).toBeInstanceOf(KvraftError);
      expect((error as KvraftError).code).toBe("IO_ERROR");
      return (error as KvraftError).message;
    }
  };
  expect(why("127.0.0.1", acceptor.port)).toBe(
    `Cannot listen on 127.0.0.1:${acceptor.port}: the port is in use by another process; ` +
      "stop that process or choose another port",
  );
  expect(why("203.0.113.1", 5001)).toContain(
    "Cannot listen on 203.0.113.1:5001: this machine has no such address",
  );
  expect(why("no.such.host.invalid", 5001)).toContain("the host is unknown");
  expect(why("127.0.0.1", 70_000)).toContain("the port is out of range");
});

test.each(["data", "opened", "failed", "accept", "closed"])(
  "what the handler of %s throws reaches the process",
  (where) => {
    const child = Bun.spawnSync([process.execPath, "run", `${import.meta.dir}/throwing-handler.ts`, where]);
    expect(child.stderr.toString()).toContain(`thrown in ${where}`);
    expect(child.exitCode).toBe(1);
  },
);
