import { describe, expect, test } from "bun:test";
import { completeVerb } from "../../src/cli/prompt.ts";
import { ReplSession } from "../../src/cli/repl-session.ts";
import { fromUtf8, toHex, toUtf8 } from "../../src/lib/bytes.ts";
import { FakeKvError, World } from "./world.ts";

/** Runs commands from a pipe, cut into chunks of a few bytes so that lines are put together again. */
function pipe(world: World, text: string, ...args: string[]) {
  const bytes = toUtf8(text);
  world.input = [];
  for (let at = 0; at < bytes.length; at += 7) world.input.push(bytes.subarray(at, at + 7));
  return world.run("repl", ...args);
}

describe("commands from a pipe", () => {
  test("print values alone, and run to the end of the input", async () => {
    expect(
      await pipe(new World(), 'put a 1\n\nput b "x\\ny"\r\nget a\nget b\ndelete a\nget a\nget b'),
    ).toEqual({
      status: 0,
      out: "1\nx\ny\nx\ny\n",
      err: "key not found\n",
    });
  });

  test("stop at exit", async () => {
    expect(await pipe(new World(), "put a 1\nexit\nget a\n")).toEqual({ status: 0, out: "", err: "" });
    expect(await pipe(new World(), "quit\nget a\n")).toEqual({ status: 0, out: "", err: "" });
  });

  test("stop at the first error, with its status", async () => {
    const golden: [string, string][] = [
      ["get", "Wrong number of words: found 0, wanted get key"],
      ["put a b c", "Wrong number of words: found 3, wanted put key value; quote what has spaces in it"],
      ['put a "b', 'Cannot read the line: the quote " is not closed'],
      ["gte a", 'Unknown command "gte"; did you mean get?'],
      ["frobnicate", 'Unknown command "frobnicate"; help lists the commands'],
    ];
    for (const [line, message] of golden)
      expect(await pipe(new World(), `put a 1\nget a\n${line}\nget a\n`)).toEqual({
        status: 2,
        out: "1\n",
        err: `kvraft: ${message}\n`,
      });
    for (const [outcome, status] of [
      ["not-done", 3],
      ["refused", 4],
      ["unknown", 5],
    ] as const) {
      const world = new World();
      world.client.put = () => Promise.reject(new FakeKvError(outcome, "it failed"));
      const result = await pipe(world, "put a 1\nget a\n", "-e", "a:1");
      expect([result.status, result.out]).toEqual([status, ""]);
      expect(result.err).toEndWith("kvraft: it failed\n");
    }
  });

  test("keep bytes that are no UTF-8, and take digits on request", async () => {
    const world = new World();
    world.input = [toUtf8("put "), Uint8Array.of(0xff, 0x20, 0xfe, 0x0a), toUtf8('put x "\\\\"\n')];
    await world.run("repl");
    expect([...world.client.records].map(([key, { value }]) => [key, toHex(value)])).toEqual([
      ["ff", "fe"],
      ["78", "5c"],
    ]);
    expect((await pipe(world, "get ff\nput 00 0a0b\nget 00\n", "--hex")).out).toBe("fe\n0a0b\n");
    expect((await pipe(world, "get x\n", "-o", "json")).out).toBe(
      '{"key":"x","value":"\\\\","created":2,"modified":2,"count":1}\n',
    );
  });

  test("are helped, and see the cluster", async () => {
    const world = new World();
    world.client.nodes = [{ address: "a:1", reachable: true, role: "leader", term: 2 }];
    const { out } = await pipe(world, "help\nhelp put\nstatus\n");
    for (const verb of ["put key value", "get key", "delete key", "status", "help [command]", "exit"])
      expect(out).toContain(`\n  ${verb} `.replace("\n  put", "  put"));
    expect(out).toContain("  put key value  store a value\nADDRESS");
    expect(out).toContain("a:1      yes        leader  2");
  });
});

test("a person is told everything in words, and shown values that move no cursor", async () => {
  const world = new World();
  const session = new ReplSession(
    world,
    world.client,
    { configPath: undefined, endpoints: undefined, timeoutMs: undefined, format: "plain", encoding: "bytes" },
    true,
  );
  const say = async (line: string) => {
    await session.run(toUtf8(line));
    return fromUtf8(world.takeBytes());
  };
  expect(await say("put a 1")).toBe("OK\n");
  expect(await say("get a")).toBe("1\n");
  expect(await say('PUT b "\\x1b[2J\\n"')).toBe("OK\n");
  expect(await say("get b")).toBe('"\\x1b[2J\\n"\n');
  expect(await say("get c")).toBe("key not found\n");
  expect(await say("del a")).toBe("deleted\n");
  expect(await say("delete a")).toBe("key not found\n");
});

test("Tab completes the commands at the start of a line and after help", () => {
  expect(completeVerb("")[0]).toEqual(["put ", "get ", "delete ", "status ", "help ", "exit "]);
  expect(completeVerb("de")).toEqual([["delete "], "de"]);
  expect(completeVerb("  g")).toEqual([["  get "], "  g"]);
  expect(completeVerb("help p")).toEqual([["help put "], "help p"]);
  expect(completeVerb("get a")).toEqual([[], "get a"]);
  expect(completeVerb("x")).toEqual([[], "x"]);
});
