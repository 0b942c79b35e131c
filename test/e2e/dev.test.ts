import { afterAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { binary, cleanEnvironment, kvraft } from "./binary.ts";
import { cleanUp, temporaryFolder, track } from "./processes.ts";
import { Terminal } from "./terminal.ts";
import { until } from "./wait.ts";

// `kvraft dev`: three servers, commands on them, and nothing left behind, however it ends.

afterAll(cleanUp);

/** The servers that run on this folder, whoever started them. */
function serversOn(folder: string): string[] {
  const { stdout } = Bun.spawnSync(["ps", "-A", "-ww", "-o", "pid=,args="]);
  const lines = stdout.toString().split("\n");
  return lines.filter((line) => line.includes(" server ") && line.includes(folder));
}

async function isLeftAlone(folder: string): Promise<void> {
  let left: string[] = [];
  await until(
    "the end of all servers",
    () => {
      left = serversOn(folder);
      return left.length === 0;
    },
    5_000,
    () => left.join("\n"),
  );
}

describe("dev", () => {
  test("with piped commands starts three nodes, runs them, and leaves no process behind", async () => {
    const folder = temporaryFolder();
    const data = `${folder}/data`;
    const first = await kvraft(["dev", "--data-dir", data], {
      cwd: folder,
      stdin: "put a 1\nput b 2\nget a\nget b\nget c\nstatus\n",
      timeoutMs: 40_000,
    });
    expect(first.code).toBe(0);
    const [a, b, header, ...nodes] = first.stdout.trimEnd().split("\n");
    expect([a, b]).toEqual(["1", "2"]);
    expect(header).toStartWith("ADDRESS");
    expect(nodes).toHaveLength(3);
    expect(nodes.filter((node) => / yes +leader /.test(node))).toHaveLength(1);
    expect(first.stderr).toContain("Starting 3 servers: 127.0.0.1:");
    expect(first.stderr).toContain("key not found");
    expect(serversOn(data)).toEqual([]);
    expect(readdirSync(data)).toEqual(expect.arrayContaining(["server1", "server2", "server3"]));
    // The data is kept; an error is the status of the whole.
    const second = await kvraft(["dev", "--data-dir", data], {
      cwd: folder,
      stdin: "get a\nptu\nget b\n",
      timeoutMs: 40_000,
    });
    expect(second).toMatchObject({ stdout: "1\n", code: 2 });
    expect(serversOn(data)).toEqual([]);
    const wrong = await kvraft(["dev", "--data-dir", data, "--nodes", "5"], { cwd: folder });
    expect(wrong).toMatchObject({ stdout: "", code: 2 });
  }, 60_000);

  test("leaves no process behind when it is killed with -9, or told to end", async () => {
    for (const [signal, code] of [
      ["SIGKILL", 137],
      ["SIGTERM", 143],
      ["SIGINT", 130],
    ] as const) {
      const data = `${temporaryFolder()}/data`;
      const child = track(
        Bun.spawn([binary, "dev", "--data-dir", data, "--nodes", "3"], {
          stdin: "pipe",
          stdout: "ignore",
          stderr: "ignore",
          env: cleanEnvironment(),
        }),
      );
      await until("three servers", () => serversOn(data).length === 3);
      // Once while they form, once when they work.
      if (signal !== "SIGTERM") await Bun.sleep(900);
      child.kill(signal);
      await child.exited;
      expect(child.exitCode ?? (child.signalCode === "SIGKILL" ? 137 : -1)).toBe(code);
      await isLeftAlone(data);
    }
  }, 40_000);

  test("at a terminal: a prompt on a cluster, Ctrl-C does not stop the servers, Ctrl-D does", async () => {
    const data = `${temporaryFolder()}/data`;
    const env = { KVRAFT_HISTFILE: "" };
    const terminal = new Terminal(["dev", "--data-dir", data], "/", env);
    await terminal.see("Leader: 127.0.0.1:", 20_000);
    await terminal.see(">> ");
    terminal.press("put a 1\r");
    await terminal.see("\r\nOK\r\n");
    terminal.press("\x03");
    await terminal.see("(exit or Ctrl-D leaves)");
    terminal.press("get a\r");
    await terminal.see("\r\n1\r\n");
    expect(serversOn(data)).toHaveLength(3);
    terminal.press("\x04");
    expect(await terminal.ended()).toBe(0);
    expect(serversOn(data)).toEqual([]);
  }, 40_000);

  test("at a terminal that is closed: nothing is left", async () => {
    const data = `${temporaryFolder()}/data`;
    const terminal = new Terminal(["dev", "--data-dir", data], "/", { KVRAFT_HISTFILE: "" });
    await terminal.see("Leader: 127.0.0.1:", 20_000);
    terminal.kill("SIGHUP");
    expect(await terminal.ended()).toBe(129);
    await isLeftAlone(data);
  }, 40_000);
});
