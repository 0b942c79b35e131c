import { afterAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { KVClient } from "../../src/client/kv-client.ts";
import { BunClock } from "../../src/env/bun-clock.ts";
import { BunNet } from "../../src/env/bun-net.ts";
import { binary, cleanEnvironment, kvraft } from "./binary.ts";
import { Cluster } from "./cluster.ts";
import { atEnd, cleanUp, temporaryFolder, track } from "./processes.ts";

afterAll(cleanUp);

// Goal: a host name that nobody answers for costs those who do not need that host nothing.

/** An address of the loopback at which questions to a resolver are never answered; undefined where that cannot be made. */
async function silentResolver(): Promise<string | undefined> {
  const address = `127.77.${process.pid % 251}.53`;
  try {
    const socket = await Bun.udpSocket({ hostname: address, port: 53, socket: { data: () => {} } });
    atEnd(() => socket.close());
    return address;
  } catch {
    return undefined;
  }
}

const folder = temporaryFolder();
const hosts = join(folder, "hosts");
const resolvers = join(folder, "resolv.conf");
/** Runs a command with a hosts file and a resolver of its own. */
const withNames = [
  "unshare",
  "--mount",
  "sh",
  "-c",
  `mount --bind ${hosts} /etc/hosts && mount --bind ${resolvers} /etc/resolv.conf && exec "$@"`,
  "sh",
];
const resolver = await silentResolver();
writeFileSync(resolvers, `nameserver ${resolver}\n`);
writeFileSync(hosts, "127.0.0.1 db1.test db2.test db3.test\n");
const canName = resolver !== undefined && Bun.spawnSync([...withNames, "true"]).exitCode === 0;

/** The names are those of this machine, for clients outside of the commands that `withNames` runs. */
class LocalNames extends BunNet {
  override connect(...[host, port, ...handlers]: Parameters<BunNet["connect"]>): { cancel(): void } {
    return super.connect(host.endsWith(".test") ? "127.0.0.1" : host, port, ...handlers);
  }
}

test.skipIf(!canName)(
  "a member and an endpoint whose names nobody answers for hold up neither the others nor a client",
  async () => {
    await using cluster = new Cluster({ wrapper: withNames });
    const servers = cluster.ports.map((port, at) => ({ ip: `db${at + 1}.test`, port }));
    for (const [me, server] of cluster.servers.entries())
      writeFileSync(server.configPath, JSON.stringify({ me, servers, dataDir: cluster.dataDir(me) }));
    for (const server of cluster.servers) server.start();
    const env = { clock: new BunClock(), net: new LocalNames() };
    const patient = cluster.client({ env, timeoutMs: 20_000 });
    await patient.put("key", "value");

    // The third server ends, and nobody answers for its name any more: the others know its address from before.
    writeFileSync(hosts, "127.0.0.1 db1.test db2.test\n");
    await cluster.kill9(2);
    await patient.get("key");
    expect(await slowestPutMs(patient, 4000)).toBeLessThan(2500);
    // They start again, and have never heard of it.
    for (const index of [0, 1]) await cluster.kill9(index);
    for (const index of [0, 1]) cluster.restart(index);
    // A lookup of the system gives up after ten seconds or twenty.
    expect(await elapsedMs(() => patient.get("key"))).toBeLessThan(8000);
    const elections = () =>
      cluster.logOf(0).split("→leader").length + cluster.logOf(1).split("→leader").length;
    const before = elections();

    expect(await slowestPutMs(patient, 2000)).toBeLessThan(2500);
    expect(elections()).toBe(before);

    const [first, second, third] = cluster.ports;
    const endpoints = `db3.test:${third},db1.test:${first},db2.test:${second}`;
    const child = track(
      Bun.spawn([...withNames, binary, "-e", endpoints, "get", "key"], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "inherit",
        env: cleanEnvironment(),
      }),
    );
    expect(await elapsedMs(() => child.exited)).toBeLessThan(6000);
    expect(await child.stdout.text()).toBe("value\n");
    expect(child.exitCode).toBe(0);
  },
  60_000,
);

async function slowestPutMs(client: KVClient, forMs: number): Promise<number> {
  let slowestMs = 0;
  const untilMs = performance.now() + forMs;
  for (let count = 0; performance.now() < untilMs; count++)
    slowestMs = Math.max(slowestMs, await elapsedMs(() => client.put(`key${count % 100}`, "value")));
  return slowestMs;
}

async function elapsedMs(run: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now();
  await run();
  return performance.now() - beganMs;
}

test("a name that is unknown is said to be, at once", async () => {
  const outcome = await kvraft(["-e", "no.such.host.invalid:5001", "--timeout", "300ms", "get", "key"]);
  expect(outcome.code).toBe(3);
  // The last try may be cut short by the deadline, and says that instead.
  expect(outcome.stderr).toMatch(/Cannot get: .*no\.such\.host\.invalid:5001/);
});
