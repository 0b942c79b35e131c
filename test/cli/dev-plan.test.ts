import { expect, test } from "bun:test";
import { isPortFree } from "../../src/cli/dev-cluster.ts";
import { devConfigPath, devServerConfig, planDevCluster } from "../../src/cli/dev-plan.ts";
import { logTo } from "../../src/cli/log.ts";
import { parseServerConfig } from "../../src/config/server-config.ts";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { World } from "./world.ts";

const portsOf = (plan: { servers: readonly { port: number }[] }) => plan.servers.map(({ port }) => port);

test("a new cluster has three nodes from port 5001 on, and steps over ports that are taken", async () => {
  const world = new World();
  const plan = await planDevCluster(world, "d", undefined, () => true);
  expect([portsOf(plan), plan.notes]).toEqual([[5001, 5002, 5003], []]);
  const around = await planDevCluster(world, "d", 3, (port) => port !== 5002 && port !== 5004);
  expect(portsOf(around)).toEqual([5001, 5003, 5005]);
  expect(around.notes).toEqual([
    "port 5002 is taken: server2 listens on 5003",
    "port 5003 is taken: server3 listens on 5005",
  ]);
});

test("a cluster that was kept goes on with its nodes and ports", async () => {
  const world = new World();
  const plan = await planDevCluster(world, "d", 5, (port) => port > 6000);
  expect(portsOf(plan)).toEqual([6001, 6002, 6003, 6004, 6005]);
  for (const me of plan.servers.keys()) {
    const text = devServerConfig(plan, me);
    const { config } = parseServerConfig(text, "x");
    expect([config.me, config.servers, config.dataDir]).toEqual([me, plan.servers, `d/server${me + 1}`]);
    world.files.set(devConfigPath("d", me), toUtf8(text));
  }
  const again = await planDevCluster(world, "d", undefined, () => true);
  expect([portsOf(again), again.notes]).toEqual([portsOf(plan), []]);
  expect(planDevCluster(world, "d", 3, () => true)).rejects.toThrow(
    'Cannot run 3 nodes in "d": it keeps a cluster of 5; leave out --nodes, or choose another --data-dir',
  );
});

test("a port is free when nobody listens on it", () => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  expect(isPortFree(listener.port)).toBe(false);
  listener.stop(true);
  expect(isPortFree(listener.port)).toBe(true);
});

test("a log line carries time and level, cannot be forged by a line feed, and is left out below the level", () => {
  const lines: string[] = [];
  const output = { isTerminal: false, write: (data: string | Uint8Array) => void lines.push(String(data)) };
  const log = logTo(output, { logLevel: "info" }, () => Date.UTC(2026, 0, 2, 3, 4, 5, 678));
  log("info", "listens on 127.0.0.1:5001");
  log("warn", "two\nlines");
  log("debug", "nothing");
  log("error", "x");
  expect(lines).toEqual([
    "2026-01-02T03:04:05.678Z info  listens on 127.0.0.1:5001\n",
    "2026-01-02T03:04:05.678Z warn  two\n  lines\n",
    "2026-01-02T03:04:05.678Z error x\n",
  ]);
});
