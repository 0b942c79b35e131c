import { expect, test } from "bun:test";
import type { ServerConfig } from "../../src/config/config.ts";
import { reloadConfig } from "../../src/config/reload.ts";
import { parseServerConfig } from "../../src/config/server-config.ts";

function config(lines: string): ServerConfig {
  return parseServerConfig(`me: 0\nservers: [{ip: a, port: 1}]\n${lines}\n`, "n.yml").config;
}

test("a reload takes over the log's level and the limits that can change, and names what changed", () => {
  const running = config("");
  const file = config(
    "logLevel: debug\nlimits: {connections: 7, requestsInFlight: 8, logTailEntries: 9, logTailBytes: 1MiB, uncommittedBytes: 32MiB}",
  );
  expect(reloadConfig(running, file)).toEqual({
    config: file,
    changed: [
      "limits.connections: 10000 → 7",
      "limits.requestsInFlight: 65536 → 8",
      "limits.logTailEntries: 100000 → 9",
      "limits.logTailBytes: 64MiB → 1MiB",
      "limits.uncommittedBytes: 64MiB → 32MiB",
      "logLevel: info → debug",
    ],
    restart: [],
  });
  expect(reloadConfig(file, file)).toEqual({ config: file, changed: [], restart: [] });
});

test("what a running server cannot take over stays as it is, and is named", () => {
  const running = config("");
  const file = parseServerConfig(
    "me: 1\nservers: [{ip: a, port: 1}, {ip: b, port: 2}, {ip: c, port: 3}]\ndataDir: d\n" +
      "timings: {electionMax: 700ms}\nlimits: {memtableBytes: 1MiB, clientOutputBytes: 64MiB}\n",
    "n.yml",
  ).config;
  expect(reloadConfig(running, file)).toEqual({
    config: running,
    changed: [],
    restart: ["limits.clientOutputBytes", "limits.memtableBytes", "me", "servers", "dataDir", "timings"],
  });
});

test("a limit into which the largest put that is accepted does not fit is not taken over", () => {
  const running = config("");
  const file = config("limits: {valueBytes: 1KiB, uncommittedBytes: 1MiB}");
  const { config: after, changed, restart } = reloadConfig(running, file);
  expect(changed).toEqual([]);
  expect(restart).toEqual(["limits.valueBytes", "limits.uncommittedBytes (a put must fit into it)"]);
  expect(after.limits).toEqual(running.limits);
});
