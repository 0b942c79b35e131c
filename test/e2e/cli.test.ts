import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, cleanEnvironment, kvraft } from "./binary.ts";
import { Cluster } from "./cluster.ts";
import { cleanUp, temporaryFolder, track } from "./processes.ts";
import { Terminal } from "./terminal.ts";

// The command line as `kvraft help` has it: on pipes, where scripts live, and on a terminal, where people do.

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start();
}, 30_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await cleanUp();
});

/** Runs a shell line with `kvraft` being the binary, on the cluster. */
async function shell(line: string): Promise<{ stdout: string; stderr: string; code: number }> {
  const child = track(
    Bun.spawn(["sh", "-c", `kvraft() { "${binary}" "$@"; }\n${line}`], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      cwd: cluster.folder,
      env: cleanEnvironment({ KVRAFT_ENDPOINTS: cluster.endpoints }),
    }),
  );
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { stdout, stderr, code: await child.exited };
}

describe("on pipes", () => {
  test("put, get and delete say what help says", async () => {
    expect(await cluster.cli(["put", "greeting", "hello, world"])).toMatchObject({
      stdout: "OK\n",
      stderr: "",
      code: 0,
    });
    expect(await cluster.cli(["get", "greeting"])).toMatchObject({
      stdout: "hello, world\n",
      stderr: "",
      code: 0,
    });
    expect(await cluster.cli(["get", "--raw", "greeting"])).toMatchObject({
      stdout: "hello, world",
      code: 0,
    });
    await cluster.cli(["put", "greeting", "again"]);
    const record = JSON.parse((await cluster.cli(["get", "-o", "json", "greeting"])).stdout);
    expect(record).toMatchObject({ key: "greeting", value: "again", count: 2 });
    expect(record.modified).toBe(record.created + 1);
    expect(await cluster.cli(["delete", "greeting", "absent"])).toMatchObject({
      stdout: "1\n",
      stderr: "",
      code: 0,
    });
    expect(await cluster.cli(["get", "greeting"])).toMatchObject({
      stdout: "",
      stderr: "key not found\n",
      code: 1,
    });
    expect(await cluster.cli(["-o", "json", "put", "a", "b"])).toMatchObject({
      stdout: '{"ok":true}\n',
      code: 0,
    });
    expect(await cluster.cli(["-o", "json", "del", "a"])).toMatchObject({
      stdout: '{"deleted":1}\n',
      code: 0,
    });
  });

  test("status shows each node", async () => {
    const plain = await cluster.cli(["status"]);
    expect(plain).toMatchObject({ stderr: "", code: 0 });
    const [header, ...rows] = plain.stdout.trimEnd().split("\n");
    expect(header).toMatch(
      /^ADDRESS +REACHABLE +ROLE +TERM +COMMIT +APPLIED +LAG +STORED +ENTRIES +LOG +LEADER +STATE$/,
    );
    expect(rows.map((row) => row.split(/ +/)[0])).toEqual(cluster.ports.map((port) => `127.0.0.1:${port}`));
    const { leader, nodes } = JSON.parse((await cluster.cli(["status", "-o", "json"])).stdout);
    expect(leader).toBe(cluster.address((await cluster.leader())!));
    expect(nodes).toHaveLength(3);
  });

  test("wrong use is told with status 2, and nothing on stdout", async () => {
    for (const args of [
      [],
      ["gte", "a"],
      ["get"],
      ["get", "a", "b"],
      ["put", "a", "b", "c"],
      ["get", "--rwa", "a"],
      ["--timeout", "soon", "get", "a"],
      ["-o", "xml", "get", "a"],
      ["-e", "nonsense", "get", "a"],
      ["put", "a", "@absent"],
    ]) {
      const { stdout, stderr, code } = await kvraft(args, { cwd: cluster.folder });
      expect({ args, stdout, code }).toEqual({ args, stdout: "", code: 2 });
      expect(stderr).not.toBe("");
      expect(stderr).not.toContain("bug in kvraft");
    }
    expect((await kvraft(["gte", "a"])).stderr).toContain('did you mean "get"?');
  });

  test("help and version are on stdout with status 0", async () => {
    for (const name of ["", "server", "dev", "repl", "get", "put", "delete", "status", "version", "help"]) {
      const args = name === "" ? ["help"] : ["help", name];
      const { stdout, stderr, code } = await kvraft(args);
      expect({ name, stderr, code }).toEqual({ name, stderr: "", code: 0 });
      expect(stdout).toContain("Usage: kvraft");
      expect((await kvraft(name === "" ? ["--help"] : [name, "--help"])).stdout).toBe(stdout);
    }
    expect(await kvraft(["--version"])).toMatchObject({ stderr: "", code: 0 });
    expect((await kvraft(["version"])).stdout).toMatch(/\d+\.\d+\.\d+/);
  }, 20_000);

  test("where the servers are: flag, environment, file", async () => {
    await cluster.cli(["put", "where", "here"]);
    const cwd = temporaryFolder();
    const servers = cluster.ports.map((port) => ({ ip: "127.0.0.1", port }));
    const env = { KVRAFT_ENDPOINTS: cluster.endpoints };
    expect(await kvraft(["get", "where"], { cwd, env })).toMatchObject({ stdout: "here\n", code: 0 });
    writeFileSync(join(cwd, "some.yml"), JSON.stringify({ servers }));
    expect(await kvraft(["-c", "some.yml", "get", "where"], { cwd })).toMatchObject({
      stdout: "here\n",
      code: 0,
    });
    // The file of a server serves as well.
    const config = cluster.servers[0]!.configPath;
    expect(await kvraft(["-c", config, "get", "where"], { cwd })).toMatchObject({
      stdout: "here\n",
      code: 0,
    });
    writeFileSync(join(cwd, "kvraft.client.yml"), JSON.stringify({ servers }));
    expect(await kvraft(["get", "where"], { cwd })).toMatchObject({ stdout: "here\n", code: 0 });
    // Nobody there: certainly nothing happened, and it says whom it tried.
    const nobody = await kvraft(["-e", "127.0.0.1:1", "--timeout", "200ms", "put", "a", "b"], { cwd });
    expect(nobody).toMatchObject({ stdout: "", code: 3 });
    expect(nobody.stderr).toContain("tried 127.0.0.1:1 (from --endpoints)");
  }, 20_000);

  test("large values pass through pipes whole, and a reader that leaves is no error", async () => {
    const check = await shell(
      "head -c 3000000 /dev/urandom > big; kvraft put big @big && kvraft get --raw big | cmp - big && " +
        "kvraft put big2 < big && kvraft get --raw big2 > big2 && cmp big big2",
    );
    expect(check).toEqual({ stdout: "OK\nOK\n", stderr: "", code: 0 });
    expect(await shell("kvraft get big | head -c 10 > /dev/null")).toEqual({
      stdout: "",
      stderr: "",
      code: 0,
    });
    const full = await shell("kvraft get big > /dev/full");
    expect(full).toMatchObject({ stdout: "", code: 2 });
    expect(full.stderr).toContain("Cannot write to stdout");
  }, 20_000);

  test("repl runs the lines of stdin: values alone on stdout", async () => {
    const stdin =
      "put a 'hello, world'\nget a\n\nput b \"\\x00\\xff\\n\"\nget b\nget absent\ndelete a\nget a\n";
    const outcome = await cluster.cli(["repl"], { stdin });
    expect(outcome.stdoutBytes).toEqual(new Uint8Array(Buffer.from("hello, world\n\x00\xff\n\n", "latin1")));
    expect(outcome).toMatchObject({ stderr: "key not found\nkey not found\n", code: 0 });
    expect(await cluster.cli(["repl"], { stdin: "get b" })).toMatchObject({ code: 0 });
    expect(await cluster.cli(["repl"])).toMatchObject({ stdout: "", stderr: "", code: 0 });
    expect(await cluster.cli(["repl"], { stdin: "exit\nput never x\n" })).toMatchObject({
      stdout: "",
      code: 0,
    });
    expect(await cluster.cli(["get", "never"])).toMatchObject({ code: 1 });
  });

  test("repl ends at the first error with its status", async () => {
    const wrong = await cluster.cli(["repl"], { stdin: "put c 1\nptu c 2\nput c 3\n" });
    expect(wrong).toMatchObject({ stdout: "", code: 2 });
    expect(wrong.stderr).toContain('Unknown command "ptu"; did you mean put?');
    expect(await cluster.cli(["get", "c"])).toMatchObject({ stdout: "1\n" });
    const tooLong = await cluster.cli(["repl"], { stdin: `put ${"x".repeat(70_000)} 1\nput c 4\n` });
    expect(tooLong).toMatchObject({ stdout: "", code: 4 });
    expect(await cluster.cli(["get", "c"])).toMatchObject({ stdout: "1\n" });
    const nobody = await kvraft(["-e", "127.0.0.1:1", "--timeout", "200ms", "repl"], {
      stdin: "get a\nget b\n",
    });
    expect(nobody).toMatchObject({ stdout: "", code: 3 });
  });

  test("a server stops in order on SIGTERM and SIGINT, with status 0", async () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const server = cluster.servers[0]!;
      server.signal(signal);
      expect(await server.ended()).toBe(0);
      expect(server.log).toContain(`stopping: ${signal}`);
      server.start();
      await cluster.awaitLeader();
      await cluster.awaitEqual();
    }
  }, 20_000);
});

describe("at a terminal", () => {
  test("repl has a prompt, says everything in words, goes on after errors, and Ctrl-D leaves", async () => {
    const histfile = join(temporaryFolder(), "history");
    const env = { KVRAFT_HISTFILE: histfile };
    const terminal = new Terminal(["-e", cluster.endpoints, "repl"], cluster.folder, env);
    await terminal.see(">> ");
    terminal.press("put t 'hello, world'\r");
    await terminal.see("\r\nOK\r\n");
    terminal.press("get t\r");
    await terminal.see("\r\nhello, world\r\n");
    terminal.press("get absent\r");
    await terminal.see("\r\nkey not found\r\n");
    terminal.press("ptu t\r");
    await terminal.see('Unknown command "ptu"; did you mean put?\r\n');
    terminal.press('put t "\\x1b[2J"\r');
    await terminal.see("\r\nOK\r\n");
    terminal.press("get t\r");
    // A value that would clear the screen is shown and not obeyed.
    await terminal.see('\r\n"\\x1b[2J"\r\n');
    terminal.press("delete t\r");
    await terminal.see("\r\ndeleted\r\n");
    terminal.press("status\r");
    await terminal.see("ADDRESS");
    await terminal.see(cluster.address(2));
    await terminal.see(">> ");
    terminal.press("\x04");
    expect(await terminal.ended()).toBe(0);
    expect(await Bun.file(histfile).text()).toStartWith("put t 'hello, world'\nget t\n");
  }, 20_000);

  test("put without a value is told at once, for there is nobody to pipe one", async () => {
    const terminal = new Terminal(["-e", cluster.endpoints, "put", "t"], cluster.folder);
    await terminal.see("put needs a value: as an argument, on stdin, or as @file");
    expect(await terminal.ended()).toBe(2);
  });
});
