import { describe, expect, test } from "bun:test";
import { type Parsed, parseCommandLine } from "../../src/cli/args.ts";
import { commands } from "../../src/cli/commands.ts";
import { World } from "./world.ts";

function parse(...args: string[]): Extract<Parsed, { kind: "call" }> {
  const parsed = parseCommandLine(args, commands);
  if (parsed.kind !== "call") throw new Error(`no call but ${parsed.kind}`);
  return parsed;
}

describe("a command line", () => {
  test("takes the global flags before and after the command", () => {
    for (const args of [
      ["-e", "a:1", "--timeout", "2000ms", "-o", "json", "--hex", "get", "00"],
      ["get", "00", "--endpoints=a:1", "--timeout=2000ms", "--output=json", "--hex"],
      ["get", "-e", "a:1", "00", "-ojson", "--hex", "--timeout", "2s"],
    ]) {
      const { command, call } = parse(...args);
      expect(command.name).toBe("get");
      expect(call.positionals).toEqual(["00"]);
      expect(call.settings).toEqual({
        configPath: undefined,
        endpoints: "a:1",
        timeoutMs: 2000,
        format: "json",
        encoding: "hex",
      });
    }
  });

  test("knows commands by their aliases, and flags that are the command's own", () => {
    expect(parse("del", "a", "b").command.name).toBe("delete");
    expect(parse("get", "--raw", "k").call.flags).toEqual(new Map([["raw", true]]));
    expect(parse("put", "k", "--value", "-5").call.flags).toEqual(new Map([["value", "-5"]]));
    expect(parse("dev", "--nodes", "5").call.flags).toEqual(new Map([["nodes", "5"]]));
  });

  test("knows commands of two words, and what stands behind them", () => {
    expect(parse("member", "list").command.name).toBe("member list");
    const { command, call } = parse("-e", "a:1", "member", "-o", "json", "remove", "a:2", "a:3");
    expect([command.name, call.positionals]).toEqual(["member remove", ["a:2", "a:3"]]);
    expect(parse("get", "member", "--raw").call.positionals).toEqual(["member"]);
  });

  test("takes everything behind -- as it stands, and a lone - as an argument", () => {
    expect(parse("put", "--", "-k", "--raw").call.positionals).toEqual(["-k", "--raw"]);
    expect(parse("put", "k", "-").call.positionals).toEqual(["k", "-"]);
  });

  test("asks for help or the version wherever the flag stands", () => {
    expect(parseCommandLine(["-h"], commands)).toEqual({ kind: "help", topic: undefined });
    expect(parseCommandLine(["get", "--help"], commands)).toMatchObject({
      kind: "help",
      topic: { name: "get" },
    });
    expect(parseCommandLine(["--version"], commands)).toMatchObject({ kind: "version" });
    expect(parseCommandLine([], commands)).toEqual({ kind: "nothing" });
  });

  const golden: [args: string[], message: string][] = [
    [
      ["gte", "k"],
      'Unknown command "gte"; did you mean "get"?\nUsage: kvraft <command> [arguments] (kvraft help says more)',
    ],
    [
      ["frobnicate"],
      'Unknown command "frobnicate"\nUsage: kvraft <command> [arguments] (kvraft help says more)',
    ],
    [
      ["get", "k", "--rwa"],
      "Unknown flag --rwa; did you mean --raw?\nUsage: kvraft get <key> (kvraft help get says more)",
    ],
    [
      ["status", "--raw"],
      "Unknown flag --raw; write -- before a key or value that starts with -\nUsage: kvraft status (kvraft help status says more)",
    ],
    [
      ["put", "k", "-5"],
      "Unknown flag -5; write -- before a key or value that starts with -\n" +
        "Usage: kvraft put <key> [<value> | - | @file] (kvraft help put says more)",
    ],
    [["get"], "get takes 1 argument, found none\nUsage: kvraft get <key> (kvraft help get says more)"],
    [
      ["get", "a", "b"],
      'get takes 1 argument, found "a" "b"\nUsage: kvraft get <key> (kvraft help get says more)',
    ],
    [["delete"], "delete takes 1 or more arguments, found none"],
    [["put", "a", "b", "c"], 'put takes 1 to 2 arguments, found "a" "b" "c"'],
    [["status", "x"], 'status takes no arguments, found "x"'],
    [["get", "k", "--timeout"], "--timeout needs a value: --timeout DURATION"],
    [["get", "k", "--raw=yes"], "--raw takes no value"],
    [
      ["get", "k", "--timeout", "soon"],
      '--timeout is "soon", must be a duration from 1ms to 1h with its unit, like 5s',
    ],
    [
      ["get", "k", "--timeout", "5"],
      '--timeout is "5", must be a duration from 1ms to 1h with its unit, like 5s',
    ],
    [
      ["get", "k", "--timeout", "0"],
      '--timeout is "0", must be a duration from 1ms to 1h with its unit, like 5s',
    ],
    [["get", "k", "-o", "xml"], '--output is "xml", must be plain or json'],
    [["get", "k", "--hex", "--base64"], "--hex and --base64 exclude each other"],
    [["dev", "--nodes", "0"], '--nodes is "0", must be a number from 1 to 15, odd for the best use of them'],
    [["dev", "-e", "a:1"], "dev starts servers of its own and takes no --endpoints and no --config"],
    [
      ["member"],
      "member needs a second word: list, add, promote, remove, replace\n" +
        "Usage: kvraft member <command> [arguments] (kvraft help member says more)",
    ],
    [
      ["member", "lst"],
      'Unknown command "member lst"; did you mean "member list"?\n' +
        "Usage: kvraft member <command> [arguments] (kvraft help member says more)",
    ],
    [["membre", "list"], 'Unknown command "membre"; did you mean "member"?'],
    [
      ["member", "list", "x"],
      'member list takes no arguments, found "x"\nUsage: kvraft member list (kvraft help member list says more)',
    ],
    [
      ["member", "add", "5004"],
      'member add found "5004", wanted a node id (16 hexadecimal digits) or its host:port',
    ],
    [
      ["member", "remove", "a:1", "b"],
      'member remove found "b", wanted a node id (16 hexadecimal digits) or its host:port',
    ],
    [["member", "replace", "a:1"], 'member replace found "a:1", wanted OLD=NEW'],
    [["member", "replace", "a:1=a:2=a:3"], 'member replace found "a:1=a:2=a:3", wanted OLD=NEW'],
    [["help", "gte"], 'Unknown command "gte"; did you mean "get"?'],
  ];
  for (const [args, message] of golden)
    test(`is refused with status 2: ${args.join(" ")}`, async () => {
      const { status, out, err } = await new World().run(...args);
      expect(err.startsWith(`kvraft: ${message}`)).toBe(true);
      expect(out).toBe("");
      expect(status).toBe(2);
    });
});

describe("help", () => {
  test("that was asked for goes to stdout and names every command and flag", async () => {
    for (const args of [["help"], ["--help"], ["-h"]]) {
      const { status, out, err } = await new World().run(...args);
      expect([status, err]).toEqual([0, ""]);
      for (const command of commands) expect(out).toContain(`\n  ${command.name} `);
      expect(out).toContain("--endpoints");
    }
  });

  test("of a command shows its usage, flags and examples, and no hidden flag", async () => {
    for (const command of commands) {
      const words = command.name.split(" ");
      const { status, out } = await new World().run(...words, "--help");
      expect(status).toBe(0);
      expect(out).toBe((await new World().run("help", ...words)).out);
      expect(out).toContain(`Usage: kvraft ${command.name}`);
      for (const flag of command.flags) expect(out.includes(`--${flag.name}`)).toBe(!flag.isHidden);
      for (const example of command.examples) expect(out).toContain(example);
      for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(120);
    }
  });

  test("of the first word of several commands names them all", async () => {
    const { status, out } = await new World().run("help", "member");
    expect(status).toBe(0);
    expect(out).toBe((await new World().run("member", "--help")).out);
    for (const { name } of commands) expect(out.includes(`  ${name} `)).toBe(name.startsWith("member "));
  });

  test("goes to stderr with status 2 when there is no command", async () => {
    const { status, out, err } = await new World().run();
    expect([status, out]).toEqual([2, ""]);
    expect(err).toContain("Usage: kvraft <command>");
  });
});

test("no flag takes a value in one command and none in another", () => {
  const hasValueByName = new Map<string, boolean>();
  for (const flag of commands.flatMap((command) => command.flags)) {
    const hasValue = flag.value !== undefined;
    expect(hasValueByName.get(flag.name) ?? hasValue).toBe(hasValue);
    hasValueByName.set(flag.name, hasValue);
  }
});
