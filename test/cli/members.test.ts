import { describe, expect, test } from "bun:test";
import { memberOf, World } from "./world.ts";

const [id2, id3, id4] = [2, 3, 4].map((number) => `00000000000000a${number}`) as [string, string, string];

/** A cluster of three, and a learner in place 4 that lacks so many entries. */
function worldWithLearner(lag: number | undefined): World {
  const world = new World();
  world.client.memberList.push(memberOf(4, "learner", lag));
  return world;
}

describe("member list", () => {
  test("is a table", async () => {
    expect(await worldWithLearner(1200).run("member", "list")).toEqual({
      status: 0,
      out: [
        "ID                ADDRESS         ROLE     MATCH  LAG",
        "00000000000000a1  127.0.0.1:5001  voter    5000   0",
        "00000000000000a2  127.0.0.1:5002  voter    5000   0",
        "00000000000000a3  127.0.0.1:5003  voter    5000   0",
        "00000000000000a4  127.0.0.1:5004  learner  3800   1200",
        "",
      ].join("\n"),
      err: "",
    });
    const { out } = await worldWithLearner(undefined).run("member", "list");
    expect(out).toContain("127.0.0.1:5004  learner  -      -\n");
  });

  test("is JSON on request", async () => {
    const world = new World();
    world.client.memberList.splice(1);
    expect((await world.run("member", "list", "-o", "json")).out).toBe(
      '{"clusterId":"00000000000000c1","leader":"127.0.0.1:5001","members":[{"nodeId":"00000000000000a1",' +
        '"address":"127.0.0.1:5001","role":"voter","match":5000,"lag":0,"active":true}]}\n',
    );
    world.client.leader = "";
    expect((await world.run("member", "list", "-o", "json")).out).toContain('"leader":null');
  });
});

describe("member add", () => {
  test("waits until the learner has caught up, shows how far it is, and makes it a voter", async () => {
    const world = worldWithLearner(4000);
    world.stderr.isTerminal = true;
    let asked = 0;
    world.client.beforeMembers = () => {
      const lag = [4000, 2500, 900, 20][asked++]!;
      world.client.memberList[3] = memberOf(4, "learner", lag);
    };
    const { status, out, err } = await world.run("member", "add", "127.0.0.1:5004");
    expect({ status, out }).toEqual({ status: 0, out: `127.0.0.1:5004 is a voter now (${id4})\n` });
    expect(err).toContain("\r\x1b[K127.0.0.1:5004 has 1000 of 5000 entries: 20%");
    expect(err).toEndWith("\r\x1b[K");
    // The leader counts more strictly: with 900 it refused.
    expect(world.client.changes).toEqual([{ promote: [id4] }, { promote: [id4] }]);
  });

  test("ends when the leader goes on refusing what has caught up", async () => {
    expect(await worldWithLearner(700).run("member", "add", "127.0.0.1:5004")).toEqual({
      status: 4,
      out: "",
      err: "kvraft: 127.0.0.1:5004 lacks 700 entries\n",
    });
  });

  test("waits for a server that is about to join", async () => {
    const world = new World();
    let asked = 0;
    world.client.beforeMembers = () => {
      if (++asked === 3) world.client.memberList.push(memberOf(4, "learner", 0));
    };
    expect((await world.run("member", "add", "127.0.0.1:5004")).status).toBe(0);
  });

  test("says of a voter that it is one", async () => {
    const world = new World();
    expect(await world.run("member", "add", "127.0.0.1:5002")).toEqual({
      status: 0,
      out: "",
      err: `kvraft: 127.0.0.1:5002 is a voter already (${id2})\n`,
    });
    expect(await world.run("member", "add", "127.0.0.1:5002", "-o", "json")).toMatchObject({
      status: 0,
      out: '{"promoted":[],"removed":[]}\n',
    });
    expect(world.client.changes).toEqual([]);
  });
});

describe("member promote", () => {
  test("is done at once, by id or address, or not at all", async () => {
    for (const name of [id4.toUpperCase(), "127.0.0.1:5004"])
      expect(await worldWithLearner(7).run("member", "promote", name)).toMatchObject({
        status: 0,
        out: `127.0.0.1:5004 is a voter now (${id4})\n`,
      });
    expect(await worldWithLearner(700).run("member", "promote", id4)).toEqual({
      status: 4,
      out: "",
      err: "kvraft: 127.0.0.1:5004 lacks 700 entries\n",
    });
  });

  test("says which members there are when it is none", async () => {
    expect(await new World().run("member", "promote", "127.0.0.1:5004")).toEqual({
      status: 2,
      out: "",
      err:
        "kvraft: Cannot promote 127.0.0.1:5004: it is no member of cluster 00000000000000c1 (members: 127.0.0.1:5001, " +
        "127.0.0.1:5002, 127.0.0.1:5003); a new node becomes one by kvraft server CONFIG --join 127.0.0.1:5001\n",
    });
  });
});

describe("member remove", () => {
  test("removes all in one change, and says who is gone already", async () => {
    const world = new World();
    expect(await world.run("member", "remove", id2, "127.0.0.1:5003", "127.0.0.1:5002", "a:1")).toEqual({
      status: 0,
      out: `127.0.0.1:5002 is no member any more (${id2})\n127.0.0.1:5003 is no member any more (${id3})\n`,
      err: "kvraft: a:1 is no member\n",
    });
    expect(world.client.changes).toEqual([{ remove: [id2, id3] }]);
    expect(await world.run("member", "remove", id2, "-o", "json")).toEqual({
      status: 0,
      out: '{"promoted":[],"removed":[]}\n',
      err: `kvraft: ${id2} is no member\n`,
    });
    expect(world.client.changes.length).toBe(1);
  });

  test("guesses nothing where two members have one address", async () => {
    const world = new World();
    world.client.memberList.push({ ...memberOf(4, "learner", 0), address: "127.0.0.1:5003" });
    expect(await world.run("member", "remove", "127.0.0.1:5003")).toMatchObject({
      status: 2,
      err: `kvraft: Cannot tell which member at 127.0.0.1:5003 is meant: ${id3} (voter), ${id4} (learner); name it by its id\n`,
    });
  });
});

describe("member replace", () => {
  test("promotes and removes in one change", async () => {
    const world = worldWithLearner(5);
    expect(await world.run("member", "replace", "127.0.0.1:5003=127.0.0.1:5004")).toEqual({
      status: 0,
      out: `127.0.0.1:5004 is a voter now (${id4})\n127.0.0.1:5003 is no member any more (${id3})\n`,
      err: "",
    });
    expect(world.client.changes).toEqual([{ promote: [id4], remove: [id3] }]);
    expect(await world.run("member", "replace", "127.0.0.1:5003=127.0.0.1:5004")).toEqual({
      status: 0,
      out: "",
      err: `kvraft: 127.0.0.1:5004 is a voter already (${id4})\nkvraft: 127.0.0.1:5003 is no member\n`,
    });
    expect(world.client.changes.length).toBe(1);
  });

  test("tells a server that lost its folder from the node that it was, at the same address", async () => {
    const world = new World();
    world.client.memberList.push({ ...memberOf(4, "learner", 0), address: "127.0.0.1:5003" });
    const { status } = await world.run("member", "replace", "127.0.0.1:5003=127.0.0.1:5003");
    expect(status).toBe(0);
    expect(world.client.changes).toEqual([{ promote: [id4], remove: [id3] }]);
  });
});

describe("leader transfer", () => {
  test("prints who leads now", async () => {
    const world = new World();
    expect(await world.run("leader", "transfer")).toEqual({ status: 0, out: "127.0.0.1:5002\n", err: "" });
    expect(await world.run("leader", "transfer", id3, "-o", "json")).toEqual({
      status: 0,
      out: `{"leader":"127.0.0.1:5003","nodeId":"${id3}"}\n`,
      err: "",
    });
    expect(await world.run("leader", "transfer", "127.0.0.1:5003")).toEqual({
      status: 0,
      out: "127.0.0.1:5003\n",
      err: `kvraft: 127.0.0.1:5003 leads already (${id3})\n`,
    });
    expect((await world.run("leader", "transfer", "a:1")).status).toBe(2);
  });
});

test("server --join wants the address of another server", async () => {
  const world = new World();
  world.files.set("n.yml", new TextEncoder().encode("me: 0\nservers: [{ip: 127.0.0.1, port: 5004}]\n"));
  const run = (join: string) => world.run("server", "n.yml", "--check-config", "--join", join);
  expect((await run("127.0.0.1:5001")).status).toBe(0);
  expect(await run("5001")).toMatchObject({
    status: 2,
    err: expect.stringContaining('kvraft: --join is "5001", must be the host:port of a member\n'),
  });
  expect(await run("127.0.0.1:5004")).toMatchObject({
    status: 2,
    err: expect.stringContaining("kvraft: --join is 127.0.0.1:5004, which is this server's own address\n"),
  });
});
