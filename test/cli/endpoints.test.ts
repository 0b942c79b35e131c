import { expect, test } from "bun:test";
import { toUtf8 } from "../../src/lib/bytes.ts";
import { World } from "./world.ts";

const fileOf = (port: number, more = "") => toUtf8(`servers: [{ip: f, port: ${port}}]\n${more}`);

/** The servers and timeout that a get is run with. */
async function openedBy(world: World, ...args: string[]) {
  await world.run("get", "k", ...args);
  return world.opened;
}

test("the servers come from the flag, the variable, -c, the folder, the user, the default, in this order", async () => {
  const world = new World();
  const userPath = "/home/u/.config/kvraft/client.yml";
  const local = ["127.0.0.1:5001", "127.0.0.1:5002", "127.0.0.1:5003"];
  expect(await openedBy(world)).toEqual({ servers: local, timeoutMs: 5000 });
  world.files.set(userPath, fileOf(1));
  expect((await openedBy(world))?.servers).toEqual(["f:1"]);
  world.files.set("kvraft.client.yml", fileOf(2));
  expect((await openedBy(world))?.servers).toEqual(["f:2"]);
  world.files.set("c.yml", fileOf(3));
  expect((await openedBy(world, "-c", "c.yml"))?.servers).toEqual(["f:3"]);
  world.environment = { KVRAFT_ENDPOINTS: "v:4" };
  expect((await openedBy(world, "-c", "c.yml"))?.servers).toEqual(["v:4"]);
  expect((await openedBy(world, "-c", "c.yml", "-e", "e:5, e:6,e:5"))?.servers).toEqual(["e:5", "e:6"]);
});

test("XDG_CONFIG_HOME moves the user's file, and an empty variable is none", async () => {
  const world = new World();
  world.environment = { KVRAFT_ENDPOINTS: "", XDG_CONFIG_HOME: "/x" };
  world.files.set("/x/kvraft/client.yml", fileOf(7));
  expect((await openedBy(world))?.servers).toEqual(["f:7"]);
});

test("the timeout comes from the flag, or from the file that was read", async () => {
  const world = new World();
  world.files.set("c.yml", fileOf(3, "timeout: 2s\n"));
  expect((await openedBy(world, "-c", "c.yml"))?.timeoutMs).toBe(2000);
  expect((await openedBy(world, "-c", "c.yml", "-e", "e:5"))?.timeoutMs).toBe(2000);
  expect((await openedBy(world, "-c", "c.yml", "--timeout", "1s"))?.timeoutMs).toBe(1000);
});

test("endpoints that are none, and a file that is missing or wrong, end with status 2", async () => {
  const world = new World();
  world.files.set("bad.yml", toUtf8("servers:\n"));
  world.files.set("latin.yml", Uint8Array.of(0xff));
  const golden: [string[], string][] = [
    [["-e", "a:1,b"], 'kvraft: Cannot use --endpoints "a:1,b": "b" is no host:port; write it like'],
    [["-e", ""], 'kvraft: Cannot use --endpoints "": "" is no host:port'],
    [["-c", "no.yml"], 'kvraft: Cannot read the configuration "no.yml": there is no such file\n'],
    [["-c", "bad.yml"], "kvraft: bad.yml:1: servers: found nothing; wanted a list of 1 to 15 servers"],
    [["-c", "latin.yml"], 'kvraft: Cannot read the configuration "latin.yml": it is no UTF-8 text'],
  ];
  for (const [args, message] of golden) {
    const { status, err } = await world.run("get", "k", ...args);
    expect([status, err.slice(0, message.length)]).toEqual([2, message]);
  }
  world.environment = { KVRAFT_ENDPOINTS: "x" };
  expect((await world.run("get", "k")).err).toContain('Cannot use KVRAFT_ENDPOINTS "x"');
});
