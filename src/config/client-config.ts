import { assert } from "../lib/assert.ts";
import { type ClientConfig, defaultTimeoutMs, timeoutRangeMs } from "./config.ts";
import { readDuration } from "./scalars.ts";
import { parseServerConfig } from "./server-config.ts";
import { readServers } from "./server-list.ts";
import { Problems, parseMapping } from "./yaml-mapping.ts";

/**
 * A client's configuration from the text of its file: `servers`, and `timeout` if it is not 5s. The file of a server
 * (one with the key `me`) serves as well. Problems are thrown as by parseServerConfig.
 */
export function parseClientConfig(text: string, fileName: string): ClientConfig {
  const problems = new Problems(fileName);
  const file = parseMapping(text, problems, "a mapping with the key servers");
  if (file.has("me")) {
    const { servers } = parseServerConfig(text, fileName).config;
    return { servers, timeoutMs: defaultTimeoutMs };
  }
  file.allowOnly(["servers", "timeout"]);
  const { servers } = readServers(file);
  const timeoutMs = readDuration(file, "timeout", timeoutRangeMs, defaultTimeoutMs);
  problems.throwIfAny();
  assert(servers !== undefined && timeoutMs !== undefined, "a configuration without problems lacks nothing");
  return { servers, timeoutMs };
}
