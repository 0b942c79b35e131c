/**
 * The YAML files of servers and clients, mutated and made up. A configuration, or one KvraftError whose every line
 * names the file and a line of it; never another error, never long, whatever aliases, anchors and depths there are.
 */
import { readFileSync } from "node:fs";
import { configText } from "../../src/cli/endpoints.ts";
import { parseClientConfig } from "../../src/config/client-config.ts";
import { parseServerConfig } from "../../src/config/server-config.ts";
import type { Prng } from "../../src/env/prng.ts";
import { formatAddress, parseAddress } from "../../src/lib/address.ts";
import { type Bytes, toUtf8 } from "../../src/lib/bytes.ts";
import { KvraftError } from "../../src/lib/error.ts";
import { bytesTarget, ensure, ensureEqual } from "./fuzzer.ts";
import { mutate, randomBytes } from "./mutate.ts";

const folder = new URL("../../config/", import.meta.url);
const everyOption = readFileSync(new URL("every-option.yml", folder), "utf8");
const wholeFiles: readonly Bytes[] = [
  readFileSync(new URL("server1.yml", folder), "utf8"),
  readFileSync(new URL("client.yml", folder), "utf8"),
  everyOption,
  // What is commented out stands at its default; here it is given.
  everyOption.replace(/^# (?=\w+:( |$))/gm, "").replace(/^# {3}(?=\w+:)/gm, "  "),
].map(toUtf8);

const words = [
  "me: 0",
  "me: 1",
  "servers:",
  "  - ip: 127.0.0.1",
  "    port: 5001",
  "  - { ip: ::1, port: 70000 }",
  "  - *a",
  "  - &a { ip: localhost, port: 1 }",
  "<<: *a",
  "timings: { tick: 10ms, heartbeat: 50ms }",
  "limits:",
  "  keyBytes: 64KiB",
  "timeout: 5s",
  "logLevel: info",
  "dataDir: data",
  "? [a, b]",
  ": c",
  "%YAML 1.1",
  "---",
  "!!binary aGk=",
  "!!set { a, b }",
  "x: !!timestamp 2001-01-01",
  "x: |",
  '"a\\nb": 1',
  "'a",
  "__proto__: 1",
  "constructor: { me: 1 }",
  "&a [*a]",
  "0x10: 1e999",
  "\t- a",
];

/** Lines of words, some of them known; the rest is up to the parser. */
function drawLines(prng: Prng): Bytes {
  const lines = Array.from({ length: prng.int(1, 12) }, () => prng.pick(words));
  return toUtf8(lines.join(prng.pick(["\n", "\n", "\r\n"])));
}

/** Aliases of aliases, merges of merges, and brackets within brackets: small files that could mean very much. */
function drawBomb(prng: Prng): Bytes {
  const depth = prng.pick([3, 12, 30, 200]);
  const width = prng.pick([2, 3, 9]);
  const repeated = (text: string, count: number): string =>
    Array.from({ length: count }, () => text).join(", ");
  const lines: string[] = ["me: 0"];
  switch (prng.int(1, 5)) {
    case 1:
      lines.push("a0: &a0 [x, x]");
      for (let at = 1; at < depth; at++) lines.push(`a${at}: &a${at} [${repeated(`*a${at - 1}`, width)}]`);
      lines.push(`servers: *a${depth - 1}`);
      break;
    case 2:
      lines.push("a0: &a0 { tick: 10ms }");
      for (let at = 1; at < depth; at++)
        lines.push(`a${at}: &a${at} { ${repeated(`<<: *a${at - 1}`, width)} }`);
      lines.push(`timings: *a${depth - 1}`, `<<: *a${depth - 1}`);
      break;
    case 3:
      lines.push(`servers: ${prng.pick(["[", "{ a: ", "- "]).repeat(depth * prng.pick([1, 5, 10]))}`);
      break;
    case 4:
      lines.push("a: &a { ip: 127.0.0.1, port: 5001 }", "servers:");
      for (let count = depth * width; count > 0; count--) lines.push("  - *a");
      break;
    default:
      lines.push("timings:");
      for (let count = depth * width; count > 0; count--)
        lines.push(`  tick${count}: ${"9".repeat(depth)}ms`);
  }
  return toUtf8(lines.join("\n"));
}

function drawFile(prng: Prng): Bytes {
  const dice = prng.int(1, 10);
  if (dice === 1) return randomBytes(prng, 200);
  if (dice === 2) return drawBomb(prng);
  const whole = dice <= 4 ? drawLines(prng) : prng.pick(wholeFiles);
  return prng.chance(1, 4) ? whole : mutate(prng, whole, prng.pick(wholeFiles));
}

const path = "conf/server.yml";

/** What `parse` makes of the text; undefined when it is refused as it should be. */
function parsed<Config>(parse: () => Config, lineCount: number): Config | undefined {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof KvraftError)) throw error;
    ensure(error.code === "CONFIG", `a configuration is refused as ${error.code}`);
    for (const line of error.message.split("\n")) {
      if (line.startsWith("Cannot read the configuration")) continue;
      const number = Number(/^conf\/server\.yml:(\d+): ./.exec(line)?.[1]);
      ensure(
        number >= 1 && number <= lineCount,
        `a problem names the file and its line: ${JSON.stringify(line.slice(0, 300))}`,
      );
      ensure(!/[\p{Cc}]/u.test(line), `a problem holds no control characters: ${JSON.stringify(line)}`);
    }
    return undefined;
  }
}

function checkFile(content: Bytes): void {
  const lineCount = content.filter((byte) => byte === 0x0a || byte === 0x0d).length + 1;
  const server = parsed(() => parseServerConfig(configText(content, path), path), lineCount)?.config;
  const client = parsed(() => parseClientConfig(configText(content, path), path), lineCount);
  for (const address of [...(server?.servers ?? []), ...(client?.servers ?? [])])
    ensureEqual(
      parseAddress(formatAddress(address)),
      address,
      "an address of a configuration can be written",
    );
  if (server === undefined) return;
  const { timings, limits, me, servers } = server;
  ensure(me >= 0 && me < servers.length, "me is a place in the list");
  const { tickMs, heartbeatMs, electionMinMs, electionMaxMs } = timings;
  ensure(
    tickMs <= heartbeatMs && heartbeatMs < electionMinMs && electionMinMs < electionMaxMs,
    "the timings are in order",
  );
  for (const number of [...Object.values(timings), ...Object.values(limits)])
    ensure(Number.isSafeInteger(number) && number > 0, "timings and limits are whole numbers");
}

export const configTarget = bytesTarget("config", drawFile, checkFile);
