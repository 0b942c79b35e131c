import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseClientConfig } from "../../src/config/client-config.ts";
import { defaultLimits, defaultTimings } from "../../src/config/config.ts";
import { parseServerConfig } from "../../src/config/server-config.ts";

const folder = join(import.meta.dir, "../../config");
const read = (name: string) => readFileSync(join(folder, name), "utf8");

const local = [5001, 5002, 5003].map((port) => ({ host: "127.0.0.1", port }));

test("the three servers' files are the same but for me", () => {
  for (const me of [0, 1, 2]) {
    const { config, warnings } = parseServerConfig(read(`server${me + 1}.yml`), `server${me + 1}.yml`);
    expect(warnings).toEqual([]);
    expect(config).toEqual({
      me,
      servers: local,
      dataDir: `data/server${me + 1}`,
      timings: defaultTimings,
      limits: defaultLimits,
      logLevel: "info",
    });
  }
});

test("the client's file names the same servers", () => {
  expect(parseClientConfig(read("client.yml"), "client.yml")).toEqual({ servers: local, timeoutMs: 5000 });
});

test("the file of every option shows each key at its default", () => {
  const text = read("every-option.yml");
  const asShipped = parseServerConfig(text, "every-option.yml").config;
  const uncommented = text.replaceAll(/^# ( *[a-zA-Z]+:( |$))/gm, "$1");
  expect(parseServerConfig(uncommented, "every-option.yml").config).toEqual(asShipped);

  const keys = ["me", "servers", "ip", "port", "dataDir", "timings", "limits", "logLevel"];
  keys.push(
    ...Object.keys(defaultTimings).map((key) => key.replace(/Ms$/, "")),
    ...Object.keys(defaultLimits),
  );
  for (const key of keys) expect(uncommented).toMatch(new RegExp(`^[ -]*${key}:`, "m"));
});
