import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { binary, cleanEnvironment } from "./binary.ts";
import { Cluster } from "./cluster.ts";
import { cleanUp, track } from "./processes.ts";
import { Terminal } from "./terminal.ts";
import { until } from "./wait.ts";

// What the system tells a server, and what becomes of a server whose terminal or log pipe is gone.

afterAll(cleanUp);

test("SIGHUP makes a server without a terminal read its file again, and a file that is wrong changes nothing", async () => {
  await using cluster = await Cluster.start({ nodes: 1 });
  const [server] = cluster.servers;
  const hangUp = async (told: string): Promise<void> => {
    server!.signal("SIGHUP");
    await until(
      told,
      () => cluster.logOf(0).includes(told),
      10_000,
      () => cluster.logOf(0),
    );
  };
  cluster.configure(0, undefined, {
    logLevel: "debug",
    limits: { requestsInFlight: 3, memtableBytes: "1MiB" },
  });
  await hangUp("limits.requestsInFlight: 65536 → 3, logLevel: info → debug");
  expect(cluster.logOf(0)).toContain("these settings take effect at the next start: limits.memtableBytes");
  const client = cluster.client({ timeoutMs: 1000 });
  await client.put("a", "1");
  // Debug lines tell of connections that are gone.
  await cluster.cli(["get", "a"]);
  await until("a debug line", () => / debug /.test(cluster.logOf(0)));

  cluster.configure(0, undefined, { logLevel: "loud" });
  await hangUp("SIGHUP: all settings stay as they are: ");
  expect(cluster.logOf(0)).toContain('logLevel: found "loud"');
  expect(await client.get("a")).toBe("1");
  expect(await server!.stop()).toBe(0);
}, 30_000);

test("a limit that was lowered by SIGHUP counts at once: the next client finds no room", async () => {
  await using cluster = await Cluster.start({ nodes: 1 });
  const held = cluster.client({ timeoutMs: 5000 });
  await held.put("a", "1");
  cluster.configure(0, undefined, { limits: { connections: 1 } });
  cluster.servers[0]!.signal("SIGHUP");
  await until("the reload", () => cluster.logOf(0).includes("limits.connections: 10000 → 1"));
  const refused = await cluster.cli(["--timeout", "1s", "get", "a"]);
  expect(refused.code).toBe(3);
  expect(await held.get("a")).toBe("1");
}, 30_000);

test("a server whose terminal closes stops in order", async () => {
  const cluster = new Cluster({ nodes: 1 });
  await using _ = cluster;
  const terminal = new Terminal(["server", cluster.servers[0]!.configPath], cluster.folder);
  await terminal.see("follower→pre-candidate");
  terminal.kill("SIGHUP");
  await terminal.see("stopping: SIGHUP: the terminal is gone");
  // The shell and the system may both send it.
  terminal.kill("SIGHUP");
  expect(await terminal.ended()).toBe(0);

  const gone = new Terminal(["server", cluster.servers[0]!.configPath], cluster.folder);
  await gone.see("follower→pre-candidate");
  gone.hangUp();
  await until("its end", () => !isAlive(gone.pid));
}, 30_000);

test("no process is left when the terminal of dev or of a prompt closes", async () => {
  await using cluster = await Cluster.start({ nodes: 1 });
  const prompt = new Terminal(["-e", cluster.endpoints, "repl"], cluster.folder);
  await prompt.see(">> ");
  prompt.hangUp();
  await until("the end of the prompt", () => !isAlive(prompt.pid));

  const dev = new Terminal(["dev", "--data-dir", join(cluster.folder, "dev")], cluster.folder);
  await dev.see(">> ");
  const servers = childrenOf(dev.pid);
  expect(servers.length).toBe(3);
  dev.hangUp();
  await until("the end of dev", () => !isAlive(dev.pid));
  await until("the end of its servers", () => !servers.some(isAlive));
}, 60_000);

test("a server whose log nobody reads any more goes on, and can be stopped", async () => {
  await using cluster = new Cluster({ nodes: 1 });
  const child = track(
    Bun.spawn([binary, "server", cluster.servers[0]!.configPath], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: cleanEnvironment({}),
    }),
  );
  await child.stdout.cancel();
  const reader = child.stderr.getReader();
  await reader.read();
  await reader.cancel();
  const client = cluster.client({ timeoutMs: 10_000 });
  await client.put("a", "1");
  // It has lines to write.
  for (let round = 0; round < 3; round++) {
    child.kill("SIGHUP");
    await Bun.sleep(100);
  }
  expect(await client.get("a")).toBe("1");
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
}, 30_000);

test("SIGTERM ends a server that waits for the others of its list, or to be let in, at once", async () => {
  await using cluster = new Cluster({ nodes: 3 });
  const [first] = cluster.servers;
  first!.start();
  await until("it waits", () => cluster.logOf(0).includes("waiting for"));
  expect(await first!.stop()).toBe(0);

  const alone = cluster.add();
  cluster.join(alone, 1);
  await until("it listens", () => cluster.logOf(alone).includes("listens on"));
  expect(await cluster.servers[alone]!.stop()).toBe(0);
}, 30_000);

test("a second SIGINT ends a server at once", async () => {
  await using cluster = await Cluster.start({ nodes: 1 });
  const [server] = cluster.servers;
  server!.signal("SIGINT");
  server!.signal("SIGINT");
  const status = await server!.ended();
  // It may have been faster than the second one.
  expect([0, 130]).toContain(status);
}, 30_000);

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The processes that this one has started. */
function childrenOf(pid: number): number[] {
  const found = Bun.spawnSync(["ps", "-A", "-o", "pid=,ppid="]).stdout.toString();
  return found
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .flatMap(([child, parent]) => (parent === pid ? [child!] : []));
}
