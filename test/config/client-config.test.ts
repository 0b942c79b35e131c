import { expect, test } from "bun:test";
import { parseClientConfig } from "../../src/config/client-config.ts";

const servers = "servers: [{ip: 10.0.0.1, port: 5001}, {ip: '::1', port: 5002}]\n";

test("a client's file names servers and a timeout, 5 seconds if it names none", () => {
  expect(parseClientConfig(`${servers}timeout: 250ms\n`, "c.yml")).toEqual({
    servers: [
      { host: "10.0.0.1", port: 5001 },
      { host: "::1", port: 5002 },
    ],
    timeoutMs: 250,
  });
  expect(parseClientConfig(servers, "c.yml").timeoutMs).toBe(5000);
});

test("a server's file serves as a client's", () => {
  const config = parseClientConfig(`me: 1\n${servers}dataDir: x\n`, "n.yml");
  expect(config.servers.length).toBe(2);
  expect(() => parseClientConfig(`me: 2\n${servers}`, "n.yml")).toThrow(
    "n.yml:1: me: found 2; wanted a whole number from 0 to 1",
  );
});

test("the problems of a client's file name file, line and key", () => {
  expect(() => parseClientConfig("servers:\ntimout: 5s\n", "c.yml")).toThrow(
    "c.yml:1: servers: found nothing; wanted a list of 1 to 15 servers, each with ip and port\n" +
      'c.yml:2: unknown key "timout" (did you mean timeout?); wanted one of servers, timeout',
  );
  expect(() => parseClientConfig(`${servers}timeout: soon\n`, "c.yml")).toThrow(
    'c.yml:2: timeout: found "soon"; wanted a duration from 1ms to 1h, such as 50ms or 5s',
  );
});
