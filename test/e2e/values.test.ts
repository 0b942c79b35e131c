import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type KVClient, KVError } from "../../src/client/kv-client.ts";
import { Cluster } from "./cluster.ts";
import { cleanUp } from "./processes.ts";

// Keys and values are bytes, all of them, up to the limits; what is over a limit is refused and harms nothing.

const limits = { keyBytes: 1000, valueBytes: "1MiB" };
let cluster: Cluster;
let client: KVClient;
beforeAll(async () => {
  cluster = await Cluster.start({ limits });
  client = cluster.client();
}, 30_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await cleanUp();
});

const allBytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
const notUtf8 = new Uint8Array([0xff, 0x00, 0xc3, 0x28, 0x0a, 0x0d, 0x80]);
const byteStrings: [string, Uint8Array][] = [
  ["the empty one", new Uint8Array(0)],
  ["a NUL", new Uint8Array([0])],
  ["two NULs", new Uint8Array([0, 0])],
  ["invalid UTF-8", notUtf8],
  ["every byte", allBytes],
  ["a line feed at the end", new Uint8Array([0x61, 0x0a])],
];

describe("binary keys and values round-trip", () => {
  test("by the library", async () => {
    for (const [place, [, key]] of byteStrings.entries()) {
      const value = byteStrings[(place + 1) % byteStrings.length]![1];
      await client.put(key, value);
    }
    for (const [place, [name, key]] of byteStrings.entries()) {
      const value = byteStrings[(place + 1) % byteStrings.length]![1];
      expect(Buffer.from((await client.getBytes(key))!).toString("hex"), name).toBe(
        Buffer.from(value).toString("hex"),
      );
    }
    for (const [name, key] of byteStrings) expect(await client.delete(key), name).toBe(true);
    for (const [name, key] of byteStrings) expect(await client.getBytes(key), name).toBeUndefined();
  });

  for (const encoding of ["hex", "base64"] as const)
    test(`by the command line with --${encoding}`, async () => {
      for (const [name, bytes] of byteStrings) {
        const text = Buffer.from(bytes).toString(encoding);
        const put = await cluster.cli(["put", `--${encoding}`, text, text]);
        expect({ ...put, name }).toMatchObject({ stdout: "OK\n", stderr: "", code: 0 });
        const get = await cluster.cli(["get", `--${encoding}`, text]);
        expect({ ...get, name }).toMatchObject({ stdout: `${text}\n`, stderr: "", code: 0 });
        expect(Buffer.from((await client.getBytes(bytes))!).toString(encoding), name).toBe(text);
        const raw = await cluster.cli(["get", `--${encoding}`, "--raw", text]);
        expect(raw.stdout, name).toBe(text);
        const gone = await cluster.cli(["delete", `--${encoding}`, text]);
        expect({ ...gone, name }).toMatchObject({ stdout: "1\n", code: 0 });
      }
      const wrong = await cluster.cli(["put", `--${encoding}`, "not digits", ""]);
      expect(wrong).toMatchObject({ stdout: "", code: 2 });
    }, 20_000);

  test("by the command line as they are: stdin, a file, stdout", async () => {
    expect(await cluster.cli(["put", "from stdin"], { stdin: allBytes })).toMatchObject({ code: 0 });
    expect(await cluster.cli(["put", "from dash", "-"], { stdin: notUtf8 })).toMatchObject({ code: 0 });
    writeFileSync(join(cluster.folder, "value.bin"), allBytes);
    expect(await cluster.cli(["put", "from file", "@value.bin"])).toMatchObject({ code: 0 });
    expect(await cluster.cli(["put", "at sign", "--value", "@value.bin"])).toMatchObject({ code: 0 });
    expect(await cluster.cli(["put", "", "of the empty key"])).toMatchObject({ code: 0 });
    expect(await cluster.cli(["put", "empty", ""])).toMatchObject({ code: 0 });
    const raw = async (key: string) => (await cluster.cli(["get", "--raw", key])).stdoutBytes;
    expect(Buffer.from(await raw("from stdin")).equals(allBytes)).toBe(true);
    expect(Buffer.from(await raw("from dash")).equals(notUtf8)).toBe(true);
    expect(Buffer.from(await raw("from file")).equals(allBytes)).toBe(true);
    expect(Buffer.from(await raw("at sign")).toString()).toBe("@value.bin");
    expect(Buffer.from(await raw("")).toString()).toBe("of the empty key");
    expect(await cluster.cli(["get", "empty"])).toMatchObject({ stdout: "\n", stderr: "", code: 0 });
    const json = await cluster.cli(["get", "-o", "json", "from dash"]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      key: "from dash",
      valueBase64: Buffer.from(notUtf8).toString("base64"),
      count: 1,
    });
  }, 20_000);
});

describe("what is over a limit is refused with status 4", () => {
  test("by the library, and the writes around it are done", async () => {
    const around = [client.put("a", "1"), client.put("b", "2")];
    const big = client.put("c", new Uint8Array(1024 * 1024 + 1));
    const after = [client.put("d", "4"), client.put("x".repeat(1000), "5")];
    const long = client.put("x".repeat(1001), "6");
    const last = client.put("e", "7");
    const errors = await Promise.allSettled([big, long]);
    await Promise.all([...around, ...after, last]);
    for (const result of errors) {
      if (result.status === "fulfilled") throw new Error("a limit was not kept");
      expect(result.reason).toBeInstanceOf(KVError);
      expect(result.reason).toMatchObject({ outcome: "refused", code: "ErrTooLarge" });
    }
    expect(await client.get("c")).toBeUndefined();
    for (const [key, value] of [
      ["a", "1"],
      ["b", "2"],
      ["d", "4"],
      ["x".repeat(1000), "5"],
      ["e", "7"],
    ] as const)
      expect(await client.get(key)).toBe(value);
  });

  test("by the command line, which says how much is allowed", async () => {
    const value = await cluster.cli(["put", "c"], { stdin: new Uint8Array(1024 * 1024 + 1) });
    expect(value).toMatchObject({ stdout: "", code: 4 });
    expect(value.stderr).toMatch(
      /The value has 1048577 bytes, at most 1048576 are allowed; .*limits\.valueBytes/,
    );
    const key = await cluster.cli(["put", "x".repeat(1001), ""]);
    expect(key).toMatchObject({ stdout: "", code: 4 });
    expect(key.stderr).toMatch(/The key has 1001 bytes, at most 1000 are allowed; .*limits\.keyBytes/);
    // Far beyond what any frame holds.
    const huge = await cluster.cli(["put", "c"], { stdin: new Uint8Array(30 * 1024 * 1024) });
    expect(huge).toMatchObject({ stdout: "", code: 4 });
    expect(huge.stderr).not.toContain("bug in kvraft");
    expect(await cluster.cli(["get", "c"])).toMatchObject({ code: 1 });
    const longest = await cluster.cli(["put", "c"], { stdin: new Uint8Array(1024 * 1024).fill(0x61) });
    expect(longest).toMatchObject({ stdout: "OK\n", code: 0 });
    expect((await cluster.cli(["get", "--raw", "c"])).stdoutBytes.length).toBe(1024 * 1024);
  }, 20_000);
});

test("a key that does not exist is a negative answer with status 1", async () => {
  expect(await cluster.cli(["get", "absent"])).toMatchObject({
    stdout: "",
    stderr: "key not found\n",
    code: 1,
  });
  expect(await cluster.cli(["get", "-o", "json", "absent"])).toMatchObject({ stdout: "", code: 1 });
  expect(await cluster.cli(["delete", "absent"])).toMatchObject({ stdout: "0\n", code: 0 });
  // A key over the limit cannot exist; saying so or refusing it are both true.
  const { code, stderr } = await cluster.cli(["get", "x".repeat(1001)]);
  expect([1, 4]).toContain(code);
  expect(stderr).not.toBe("");
});
