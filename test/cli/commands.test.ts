import { describe, expect, test } from "bun:test";
import { AssertionError } from "../../src/lib/assert.ts";
import { toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { FakeKvError, World } from "./world.ts";

describe("put, get and delete", () => {
  test("print OK, the value, and how many keys there were", async () => {
    const world = new World();
    expect(await world.run("put", "k", "v")).toEqual({ status: 0, out: "OK\n", err: "" });
    expect(await world.run("get", "k")).toEqual({ status: 0, out: "v\n", err: "" });
    expect(await world.run("get", "--raw", "k")).toEqual({ status: 0, out: "v", err: "" });
    expect(await world.run("delete", "k", "other")).toEqual({ status: 0, out: "1\n", err: "" });
    expect(await world.run("del", "k")).toEqual({ status: 0, out: "0\n", err: "" });
    expect(await world.run("get", "k")).toEqual({ status: 1, out: "", err: "key not found\n" });
    expect(world.client.isClosed).toBe(true);
  });

  test("print JSON on request", async () => {
    const world = new World();
    expect((await world.run("put", "k", "v", "-o", "json")).out).toBe('{"ok":true}\n');
    await world.run("put", "k", "w");
    expect((await world.run("get", "k", "-o", "json")).out).toBe(
      '{"key":"k","value":"w","created":1,"modified":2,"count":2}\n',
    );
    expect((await world.run("delete", "k", "-o", "json")).out).toBe('{"deleted":1}\n');
    expect(await world.run("get", "k", "-o", "json")).toEqual({ status: 1, out: "", err: "key not found\n" });
  });

  test("are exact about bytes", async () => {
    const world = new World();
    world.input = [Uint8Array.of(0, 0xff), Uint8Array.of(0x0a)];
    await world.run("put", "k", "-");
    const { runCommandLine } = await import("../../src/cli/commands.ts");
    world.takeBytes();
    await runCommandLine(world, ["get", "k"]);
    expect(toHex(world.takeBytes())).toBe("00ff0a0a");
    await runCommandLine(world, ["get", "k", "--raw"]);
    expect(toHex(world.takeBytes())).toBe("00ff0a");
    expect((await world.run("get", "k", "-o", "json")).out).toBe(
      '{"key":"k","valueBase64":"AP8K","created":1,"modified":1,"count":1}\n',
    );
  });

  test("take and print hexadecimal and base64 digits", async () => {
    const world = new World();
    await world.run("--hex", "put", "00fF", "6869");
    expect([...world.client.records.keys()]).toEqual(["00ff"]);
    expect((await world.run("get", "--hex", "00ff")).out).toBe("6869\n");
    expect((await world.run("get", "--base64", "AP8=")).out).toBe("aGk=\n");
    expect((await world.run("get", "--base64", "AP8=", "-o", "json")).out).toContain(
      '"keyBase64":"AP8=","valueBase64":"aGk="',
    );
    expect((await world.run("get", "--hex", "00ff", "-o", "json")).out).toContain(
      '"keyHex":"00ff","valueHex":"6869"',
    );
    world.input = [toUtf8("0a 0b\n0c\n")];
    await world.run("put", "--hex", "01");
    expect((await world.run("get", "--hex", "01")).out).toBe("0a0b0c\n");
    for (const [flag, digits] of [
      ["--hex", "0"],
      ["--hex", "zz"],
      ["--base64", "AP8"],
      ["--base64", "A*8="],
    ] as const) {
      const { status, err } = await world.run("get", flag, digits);
      expect([status, err]).toEqual([
        2,
        expect.stringContaining(`Cannot read the key "${digits}" with ${flag}`),
      ]);
    }
  });

  test("put takes its value from stdin, a file, or the flag that takes it as it stands", async () => {
    const world = new World();
    world.files.set("v.bin", toUtf8("from a file\n"));
    world.input = [toUtf8("from "), toUtf8("stdin\n")];
    const valueAfter = async (...args: string[]) => {
      await world.run("put", "k", ...args);
      return (await world.run("get", "--raw", "k")).out;
    };
    expect(await valueAfter()).toBe("from stdin\n");
    expect(await valueAfter("-")).toBe("from stdin\n");
    expect(await valueAfter("@v.bin")).toBe("from a file\n");
    expect(await valueAfter("--value", "@v.bin")).toBe("@v.bin");
    expect(await valueAfter("--value", "-")).toBe("-");
    expect(await valueAfter("--value=")).toBe("");
    expect(await valueAfter("")).toBe("");
    expect((await world.run("put", "k", "@no.bin")).err).toBe(
      'kvraft: Cannot read "no.bin": there is no such file; write --value "@no.bin" to store the text itself\n',
    );
    expect((await world.run("put", "k", "a", "--value", "b")).status).toBe(2);
    world.stdin.hasContent = false;
    const { status, err } = await world.run("put", "k");
    expect([status, err]).toEqual([2, expect.stringContaining("put needs a value")]);
  });
});

describe("an error", () => {
  const golden: [Error, number, string][] = [
    [
      new FakeKvError("not-done", "no leader"),
      3,
      "kvraft: tried a:1 (from --endpoints)\nkvraft: no leader\n",
    ],
    [new FakeKvError("refused", "the key is too long"), 4, "kvraft: the key is too long\n"],
    [new FakeKvError("unknown", "no answer in 5s"), 5, "kvraft: no answer in 5s\n"],
    [new AssertionError("a true sentence"), 1, "kvraft: this is a bug in kvraft\n"],
  ];
  for (const [error, status, message] of golden)
    test(`ends with status ${status}: ${error.message}`, async () => {
      for (const args of [
        ["get", "k"],
        ["put", "k", "v"],
        ["delete", "k"],
        ["status"],
        ["get", "k", "-o", "json"],
      ]) {
        const world = new World();
        world.client.failure = error;
        const result = await world.run(...args, "-e", "a:1");
        expect([result.status, result.out]).toEqual([status, ""]);
        expect(result.err.startsWith(message)).toBe(true);
        expect(world.client.isClosed).toBe(true);
      }
    });

  test("in the middle of a delete says how far it came", async () => {
    const world = new World();
    const remove = world.client.delete.bind(world.client);
    world.client.delete = async (key) => {
      if (toHex(key) === toHex(toUtf8("c"))) throw new FakeKvError("not-done", "no answer");
      return remove(key);
    };
    const { status, out, err } = await world.run("delete", "a", "b", "c", "d");
    expect([status, out, err]).toEqual([
      5,
      "",
      "kvraft: no answer\nkvraft: the first 2 of 4 keys are done\n",
    ]);
  });
});

describe("status", () => {
  const leader = {
    address: "127.0.0.1:5001",
    reachable: true,
    role: "leader",
    term: 3,
    commit: 120,
    applied: 119,
    logBytes: 1_572_864,
    leader: "127.0.0.1:5001",
    state: "ready",
  };
  const follower = { ...leader, address: "127.0.0.1:5002", role: "follower" };
  const gone = { address: "127.0.0.1:5003", reachable: false, error: "connection refused" };

  test("is a table, one line a node", async () => {
    const world = new World();
    const followers = [{ nodeId: "b", lag: 4 }, { nodeId: "c" }];
    world.client.nodes = [
      { ...leader, firstIndex: 17, lastIndex: 121, snapshotIndex: 99, followers },
      { ...follower, nodeId: "b" },
      gone,
    ];
    const { status, out } = await world.run("status");
    expect(status).toBe(0);
    expect(out).toBe(
      [
        "ADDRESS         REACHABLE  ROLE      TERM  COMMIT  APPLIED  LAG  STORED  ENTRIES  LOG      LEADER          STATE",
        "127.0.0.1:5001  yes        leader    3     120     119      -    99      17-121   1572864  127.0.0.1:5001  ready",
        "127.0.0.1:5002  yes        follower  3     120     119      4    -       -        1572864  127.0.0.1:5001  ready",
        "127.0.0.1:5003  no         -         -     -       -        -    -       -        -        -               connection refused",
        "",
      ].join("\n"),
    );
    world.stdout.isTerminal = true;
    expect((await world.run("status")).out).toContain("  1.5MiB  127.0.0.1:5001  ready\n");
  });

  test("is JSON on request", async () => {
    const world = new World();
    world.client.nodes = [follower, { ...leader, term: 4 }, { ...leader, address: "old", term: 3 }];
    const { out } = await world.run("status", "-o", "json");
    expect(JSON.parse(out)).toEqual({ leader: "127.0.0.1:5001", nodes: world.client.nodes });
  });

  test("ends with 0 with a leader, 1 without one, 3 without any node", async () => {
    const world = new World();
    world.client.nodes = [leader, gone];
    expect((await world.run("status")).status).toBe(0);
    world.client.nodes = [follower, gone];
    expect((await world.run("status")).status).toBe(1);
    world.client.nodes = [gone, { ...leader, reachable: false }];
    expect((await world.run("status")).status).toBe(3);
    expect((await world.run("status", "-o", "json")).out).toContain('"leader":null');
  });
});

describe("server --check-config", () => {
  const three = [1, 2, 3].map((port) => `  - {ip: h, port: ${port}}\n`).join("");

  test("prints OK, with warnings on stderr", async () => {
    const world = new World();
    world.files.set("n.yml", toUtf8(`me: 0\nservers:\n${three}`));
    expect(await world.run("server", "n.yml", "--check-config")).toEqual({ status: 0, out: "OK\n", err: "" });
    world.files.set("n.yml", toUtf8(`me: 0\nservers:\n${three}  - {ip: h, port: 4}\n`));
    const { status, out, err } = await world.run("server", "n.yml", "--check-config");
    expect([status, out]).toEqual([0, "OK\n"]);
    expect(err).toStartWith("kvraft: warning: n.yml:2: servers: found 4; wanted an odd number");
  });

  test("names every problem, a line each, with status 2", async () => {
    const world = new World();
    world.files.set("n.yml", toUtf8(`me: 7\nservers:\n${three}logLevel: loud\n`));
    expect(await world.run("server", "--check-config", "n.yml")).toEqual({
      status: 2,
      out: "",
      err:
        "kvraft: 2 problems\nn.yml:1: me: found 7; wanted a whole number from 0 to 2\n" +
        'n.yml:6: logLevel: found "loud"; wanted one of error, warn, info, debug\n',
    });
    expect((await world.run("server", "no.yml")).status).toBe(2);
  });
});

test("version names the version, and the commit in JSON", async () => {
  expect((await new World().run("version")).out).toMatch(/^kvraft \d+\.\d+\.\d+ \(source, Bun [\d.]+\)\n$/);
  expect(JSON.parse((await new World().run("--version", "-o", "json")).out)).toMatchObject({
    commit: "source",
  });
});
