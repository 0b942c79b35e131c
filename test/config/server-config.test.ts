import { describe, expect, test } from "bun:test";
import { defaultLimits, defaultTimings } from "../../src/config/config.ts";
import { parseServerConfig } from "../../src/config/server-config.ts";
import { KvraftError } from "../../src/lib/error.ts";

/** The problems of a file's text, one a line, as they are thrown. */
function problemsOf(text: string): string {
  try {
    parseServerConfig(text, "n.yml");
  } catch (error) {
    expect(error).toBeInstanceOf(KvraftError);
    expect((error as KvraftError).code).toBe("CONFIG");
    return (error as KvraftError).message;
  }
  return "none";
}

const three = `servers:
  - {ip: 10.0.0.1, port: 5001}
  - {ip: 10.0.0.2, port: 5001}
  - {ip: 10.0.0.3, port: 5001}
`;

describe("a configuration that works", () => {
  test("takes the defaults for what it does not say", () => {
    const { config, warnings } = parseServerConfig(`me: 1\n${three}`, "n.yml");
    expect(config).toEqual({
      me: 1,
      servers: [
        { host: "10.0.0.1", port: 5001 },
        { host: "10.0.0.2", port: 5001 },
        { host: "10.0.0.3", port: 5001 },
      ],
      dataDir: "data/server2",
      timings: defaultTimings,
      limits: defaultLimits,
      logLevel: "info",
    });
    expect(warnings).toEqual([]);
  });

  test("listens elsewhere than where others find it, on all addresses of the machine if it is told to", () => {
    const listenOf = (line: string) => parseServerConfig(`me: 1\n${three}${line}\n`, "n.yml").config.listen;
    expect(listenOf("listen: 0.0.0.0:6001")).toEqual({ host: "0.0.0.0", port: 6001 });
    expect(listenOf('listen: "[::]:5001"')).toEqual({ host: "::", port: 5001 });
    expect(listenOf("listen: db2.example:5001")).toEqual({ host: "db2.example", port: 5001 });
    expect(listenOf("listen: 10.0.0.2:5001")).toBeUndefined();
    expect(listenOf("")).toBeUndefined();
    expect(problemsOf(`me: 1\n${three}listen: 0.0.0.0\n`)).toContain(
      'n.yml:6: listen: found "0.0.0.0"; wanted HOST:PORT, such as 0.0.0.0:5001 or "[::]:5001"',
    );
    expect(problemsOf(`me: 1\n${three}listen: 0:5001\n`)).toContain("n.yml:6: listen:");
  });

  test("tells nobody the any-address, however it is written, and names each place once", () => {
    for (const ip of ["0.0.0.0", "'::'", "'::0'", "'0:0:0:0:0:0:0:0'", "'::ffff:0.0.0.0'", "'::ffff:0:0'"])
      expect(problemsOf(`me: 0\nservers: [{ip: ${ip}, port: 5001}]\n`)).toContain(
        "wanted an address at which others find this server; it listens on all of a machine with the key listen",
      );
    for (const ip of ["'0'", "000.0.0.0", "'0x0'", "0x7f.1", "'127.1'"])
      expect(problemsOf(`me: 0\nservers: [{ip: ${ip}, port: 5001}]\n`)).toContain(
        "wanted an IP address or a host name",
      );
    const pairs = [
      ["'::1'", "'0:0:0:0:0:0:0:1'"],
      ["127.0.0.1", "'::ffff:127.0.0.1'"],
      ["localhost", "127.0.0.1"],
      ["DB1.example", "db1.example"],
    ];
    for (const [one, other] of pairs)
      expect(
        problemsOf(
          `me: 0\nservers: [{ip: ${one}, port: 5001}, {ip: ${other}, port: 5001}, {ip: c, port: 1}]\n`,
        ),
      ).toContain("wanted an address of its own (servers[0] has this one)");
  });

  test("sets every key", () => {
    const text = `me: 0
servers: [{ip: db1.example, port: "5001"}]
dataDir: /var/lib/kvraft
timings: {tick: 5, heartbeat: 100ms, electionMin: 1s, electionMax: 1.5s, diskStall: 1m}
limits:
  keyBytes: 1KiB
  valueBytes: 1MiB
  connections: 10
  requestsInFlight: 20
  clientOutputBytes: 2MiB
  memtableBytes: 3MiB
  segmentBytes: 4194304
  logTailEntries: 30
  clientBytes: 7MiB
  logTailBytes: 6MiB
  agreementEntries: 40
  uncommittedBytes: 5MiB
logLevel: debug
`;
    expect(parseServerConfig(text, "n.yml").config).toEqual({
      me: 0,
      servers: [{ host: "db1.example", port: 5001 }],
      dataDir: "/var/lib/kvraft",
      timings: {
        tickMs: 5,
        heartbeatMs: 100,
        electionMinMs: 1000,
        electionMaxMs: 1500,
        diskStallMs: 60_000,
      },
      limits: {
        keyBytes: 1024,
        valueBytes: 1024 ** 2,
        connections: 10,
        requestsInFlight: 20,
        clientOutputBytes: 2 * 1024 ** 2,
        clientBytes: 7 * 1024 ** 2,
        memtableBytes: 3 * 1024 ** 2,
        segmentBytes: 4 * 1024 ** 2,
        logTailEntries: 30,
        logTailBytes: 6 * 1024 ** 2,
        agreementEntries: 40,
        uncommittedBytes: 5 * 1024 ** 2,
      },
      logLevel: "debug",
    });
  });

  test("may use anchors, aliases and merge keys", () => {
    const text = `me: 0
servers:
  - &first {ip: &ip 10.0.0.1, port: 1}
  - {ip: *ip, port: 2}
  - {<<: *first, port: 3}
`;
    expect(parseServerConfig(text, "n.yml").config.servers).toEqual([
      { host: "10.0.0.1", port: 1 },
      { host: "10.0.0.1", port: 2 },
      { host: "10.0.0.1", port: 3 },
    ]);
  });

  test("may leave a key or a section without a value", () => {
    const { config } = parseServerConfig(`me: 0\n${three}dataDir:\ntimings:\nlimits:\n`, "n.yml");
    expect(config.dataDir).toBe("data/server1");
    expect(config.timings).toEqual(defaultTimings);
  });

  test("may go to the very edge of each relation", () => {
    const text = `me: 0
${three}timings: {tick: 20, heartbeat: 20, electionMin: 21, electionMax: 22}
limits: {keyBytes: 1, valueBytes: 1MiB, clientOutputBytes: 1052673, segmentBytes: 1052673, uncommittedBytes: 1052673}
`;
    expect(problemsOf(text)).toBe("none");
    for (const key of ["clientOutput", "segment", "uncommitted"])
      expect(problemsOf(text.replace(`${key}Bytes: 1052673`, `${key}Bytes: 1052672`))).toBe(
        `n.yml:7: limits.${key}Bytes: found 1028KiB; wanted at least 1052673: keyBytes, valueBytes and 4KiB around them`,
      );
  });

  test("has an odd number of servers, or a warning that says why it should", () => {
    for (const count of [1, 2, 3, 4, 5, 6, 7]) {
      const items = Array.from({ length: count }, (_, index) => `  - {ip: 10.0.0.${index + 1}, port: 1}\n`);
      const { config, warnings } = parseServerConfig(`me: 0\nservers:\n${items.join("")}`, "n.yml");
      expect(config.servers.length).toBe(count);
      expect(warnings.length).toBe(count % 2 === 0 ? 1 : 0);
      if (count === 4)
        expect(warnings[0]).toBe(
          "n.yml:2: servers: found 4; wanted an odd number: 4 servers survive the failure of 1, no more than 3 do",
        );
    }
  });
});

describe("a configuration with a problem", () => {
  const golden: [name: string, text: string, problems: string][] = [
    ["an empty file", "", "n.yml:1: found an empty file; wanted a mapping with the keys me and servers"],
    [
      "comments alone",
      "# x\n",
      "n.yml:1: found an empty file; wanted a mapping with the keys me and servers",
    ],
    ["a list", "\n- 1\n", "n.yml:2: found a list; wanted a mapping with the keys me and servers"],
    ["a text", "hello", 'n.yml:1: found "hello"; wanted a mapping with the keys me and servers'],
    ["a tab", "me: 0\n\tservers: 1", "n.yml:2: not valid YAML: Tabs are not allowed as indentation"],
    ["an open quote", "me: 'x", "n.yml:1: not valid YAML: Missing closing 'quote"],
    ["an unknown tag", `me: !foo 0\n${three}`, "n.yml:1: not valid YAML: Unresolved tag: !foo"],
    [
      "a key twice",
      `me: 0\n${three}me: 1\n`,
      "n.yml:6: me: found the key a second time; wanted it once (it stands on line 1)",
    ],
    [
      "an unknown key that is near another",
      `me: 0\n${three}datadir: x\n`,
      'n.yml:6: unknown key "datadir" (did you mean dataDir?); wanted one of me, servers, listen, dataDir, timings, limits, logLevel',
    ],
    [
      "an unknown key that is near none",
      `me: 0\n${three}colour: red\n`,
      'n.yml:6: unknown key "colour"; wanted one of me, servers, listen, dataDir, timings, limits, logLevel',
    ],
    [
      "an unknown key of a section",
      `me: 0\n${three}timings:\n  heartBeat: 5ms\n`,
      'n.yml:7: timings: unknown key "heartBeat" (did you mean heartbeat?); wanted one of tick, heartbeat, electionMin, electionMax, diskStall',
    ],
    [
      "a host for an ip",
      "me: 0\nservers:\n  - host: a\n    port: 1\n",
      'n.yml:3: servers[0]: unknown key "host" (did you mean ip?); wanted one of ip, port\n' +
        "n.yml:3: servers[0].ip: found nothing; wanted an IP address or a host name",
    ],
    ["no me", three, "n.yml:1: me: found nothing; wanted a whole number from 0 to 2"],
    ["me beyond the list", `me: 3\n${three}`, "n.yml:1: me: found 3; wanted a whole number from 0 to 2"],
    ["a negative me", `me: -1\n${three}`, "n.yml:1: me: found -1; wanted a whole number from 0 to 2"],
    ["me as text", `me: "1"\n${three}`, 'n.yml:1: me: found "1"; wanted a whole number from 0 to 2'],
    ["a broken me", `me: 0.5\n${three}`, "n.yml:1: me: found 0.5; wanted a whole number from 0 to 2"],
    [
      "no servers",
      "me: 0\n",
      "n.yml:1: servers: found nothing; wanted a list of 1 to 15 servers, each with ip and port",
    ],
    [
      "an empty list of servers",
      "me: 0\nservers: []\n",
      "n.yml:2: servers: found 0 servers; wanted a list of 1 to 15 servers, each with ip and port",
    ],
    [
      "a server that is no mapping",
      "me: 0\nservers:\n  - 10.0.0.1:5001\n",
      'n.yml:3: servers[0]: found "10.0.0.1:5001"; wanted a mapping with ip and port',
    ],
    [
      "a port out of range",
      "me: 0\nservers: [{ip: a, port: 65536}]\n",
      "n.yml:2: servers[0].port: found 65536; wanted a port from 1 to 65535",
    ],
    [
      "a port that is none",
      "me: 0\nservers: [{ip: a, port: http}]\n",
      'n.yml:2: servers[0].port: found "http"; wanted a port from 1 to 65535',
    ],
    [
      "an ip that is none",
      "me: 0\nservers: [{ip: 10.0.0.256, port: 1}]\n",
      'n.yml:2: servers[0].ip: found "10.0.0.256"; wanted an IP address or a host name',
    ],
    [
      "an address twice",
      "me: 0\nservers:\n  - {ip: A, port: 1}\n  - {ip: b, port: 1}\n  - {ip: a, port: 1}\n",
      "n.yml:5: servers[2]: found a:1; wanted an address of its own (servers[0] has this one)",
    ],
    [
      "an alias of no anchor",
      `me: *x\n${three}`,
      "n.yml:1: me: found the alias *x of no earlier anchor; wanted a whole number from 0 to 2",
    ],
    [
      "a mapping merged into itself",
      "me: 0\nservers:\n  - &a {<<: *a, ip: a, port: 1}\n",
      "n.yml:3: servers[0].<<: found the alias *a of no earlier anchor; wanted a mapping, such as the alias of one",
    ],
    [
      "a data folder without a name",
      `me: 0\n${three}dataDir: ""\n`,
      'n.yml:6: dataDir: found ""; wanted a path as text',
    ],
    [
      "a section that is no mapping",
      `me: 0\n${three}timings: fast\n`,
      'n.yml:6: timings: found "fast"; wanted a mapping',
    ],
    [
      "a duration with a unit that is none",
      `me: 0\n${three}timings:\n  tick: 10 lightyears\n`,
      'n.yml:7: timings.tick: found "10 lightyears"; wanted a duration from 1ms to 1s, such as 50ms or 5s',
    ],
    [
      "a heartbeat shorter than a tick",
      `me: 0\n${three}timings: {heartbeat: 5ms}\n`,
      "n.yml:6: timings.heartbeat: found 5ms; wanted at least tick (10ms)",
    ],
    [
      "a heartbeat as long as the election timeout",
      `me: 0\n${three}timings:\n  heartbeat: 300ms\n`,
      "n.yml:7: timings.electionMin: found 300ms (the default); wanted more than heartbeat (300ms)",
    ],
    [
      "election timeouts in the wrong order",
      `me: 0\n${three}timings:\n  electionMin: 1s\n  electionMax: 1s\n`,
      "n.yml:8: timings.electionMax: found 1s; wanted more than electionMin (1s)",
    ],
    [
      "a size that is none",
      `me: 0\n${three}limits: {valueBytes: 8MB}\n`,
      'n.yml:6: limits.valueBytes: found "8MB"; wanted a size from 1B to 16MiB, such as 64KiB or 8MiB',
    ],
    [
      "a value that no log segment holds",
      `me: 0\n${three}limits:\n  segmentBytes: 8MiB\n`,
      "n.yml:7: limits.segmentBytes: found 8MiB; wanted at least 8458240: keyBytes, valueBytes and 4KiB around them",
    ],
    [
      "a log level that is none",
      `me: 0\n${three}logLevel: verbose\n`,
      'n.yml:6: logLevel: found "verbose"; wanted one of error, warn, info, debug',
    ],
  ];
  for (const [name, text, problems] of golden)
    test(`is refused: ${name}`, () => {
      expect(problemsOf(text)).toBe(problems);
    });

  test("names every problem at once, in the order of the file", () => {
    const text = `mee: 0
servers:
  - ip: 10.0.0.1
    port: 0
  - ip: "no host!"
    port: 5001
timings:
  tick: 0
  electionMin: 700ms
limits:
  connections: many
logLevel: loud
`;
    expect(problemsOf(text)).toBe(
      [
        'n.yml:1: unknown key "mee" (did you mean me?); wanted one of me, servers, listen, dataDir, timings, limits, logLevel',
        "n.yml:1: me: found nothing; wanted a whole number from 0 to 1",
        "n.yml:4: servers[0].port: found 0; wanted a port from 1 to 65535",
        'n.yml:5: servers[1].ip: found "no host!"; wanted an IP address or a host name',
        "n.yml:8: timings.tick: found 0; wanted a duration from 1ms to 1s, such as 50ms or 5s",
        "n.yml:9: timings.electionMax: found 600ms (the default); wanted more than electionMin (700ms)",
        'n.yml:11: limits.connections: found "many"; wanted a whole number from 1 to 1000000',
        'n.yml:12: logLevel: found "loud"; wanted one of error, warn, info, debug',
      ].join("\n"),
    );
  });

  test("names a problem on one line, whatever the file holds", () => {
    expect(problemsOf('"a\\n\\e[2J": { x: 1 }\n"a\\n\\e[2J": 2\nme: 0\nservers: [{ ip: a, port: 1 }]')).toBe(
      [
        'n.yml:1: unknown key "a\\n\\u001b[2J"; wanted one of me, servers, listen, dataDir, timings, limits, logLevel',
        "n.yml:2: a??[2J: found the key a second time; wanted it once (it stands on line 1)",
      ].join("\n"),
    );
  });

  test("reads merges of merges and many aliases in time that the file's length accounts for", () => {
    const merges = Array.from(
      { length: 30 },
      (_, at) => `a${at + 1}: &a${at + 1} { <<: *a${at}, <<: *a${at} }\n`,
    );
    const aliases = "  - *s\n".repeat(5000);
    const startedAt = performance.now();
    problemsOf(`a0: &a0 { tick: 10ms }\n${merges.join("")}timings: *a30\n`);
    problemsOf(`s: &s { ip: a, port: 1 }\nservers:\n${aliases}`);
    // Once it doubled with every merge: 18 of them took half a minute.
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });
});
