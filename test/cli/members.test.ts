import { describe, expect, test } from "bun:test";
import type { MemberStatus } from "../../src/client/kv-client.ts";
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
      '{"clusterId":"00000000000000c1","leader":"127.0.0.1:5001","leaderId":"00000000000000a1","removed":[],' +
        '"members":[{"nodeId":"00000000000000a1","address":"127.0.0.1:5001","role":"voter","match":5000,"lag":0,"active":true}]}\n',
    );
    world.client.leader = "";
    expect((await world.run("member", "list", "-o", "json")).out).toContain('"leader":null');
  });
});

/** An id, or the address, as the leader is told it. */
const byId = (nodeId: string) => ({ nodeId, address: "" });
const byAddress = (number: number) => ({
  nodeId: `00000000000000a${number}`,
  address: `127.0.0.1:500${number}`,
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
    expect(err).toContain("\r\x1b[K127.0.0.1:5004: it lacks 4000 entries");
    expect(err).toEndWith("\r\x1b[K");
    // Asked at once, whether it can be done at all, and then when it may be done.
    const change = { promote: [byAddress(4)], replace: [] };
    expect(world.client.changes).toEqual([change, change]);
  });

  test("waits on when the leader knows better that it has not caught up", async () => {
    const world = worldWithLearner(20);
    let asked = 0;
    world.client.beforeChange = () => {
      world.client.memberList[3] = memberOf(4, "learner", ++asked === 1 ? 700 : 20);
    };
    world.client.beforeMembers = () => {
      world.client.memberList[3] = memberOf(4, "learner", 20);
    };
    expect((await world.run("member", "add", id4)).status).toBe(0);
    expect(asked).toBe(2);
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
    expect(world.client.memberList.map(({ role }) => role)).toEqual(["voter", "voter", "voter"]);
  });

  test("refuses what was removed, and an address that two members have", async () => {
    const world = new World();
    world.client.removed = [{ nodeId: id4, address: "127.0.0.1:5004" }];
    expect(await world.run("member", "add", "127.0.0.1:5004")).toEqual({
      status: 2,
      out: "",
      err:
        `kvraft: Cannot make a voter of 127.0.0.1:5004 (${id4}): it was removed from the cluster; empty its folder and start ` +
        "it with --join\n",
    });
    world.client.memberList.push({ ...memberOf(5, "learner", 0), address: "127.0.0.1:5003" });
    expect((await world.run("member", "add", "127.0.0.1:5003")).err).toContain("name it by its id");
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
      status: 2,
      out: "",
      err: "kvraft: 127.0.0.1:5004: it lacks 700 entries\n",
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
  test("removes all in one change, and says what was removed already", async () => {
    const world = new World();
    expect(await world.run("member", "remove", id2, "127.0.0.1:5003", "127.0.0.1:5002")).toEqual({
      status: 0,
      out: `127.0.0.1:5002 is no member any more (${id2})\n127.0.0.1:5003 is no member any more (${id3})\n`,
      err: "",
    });
    expect(world.client.changes).toEqual([{ remove: [byId(id2), byAddress(3), byAddress(2)] }]);
    for (const name of [id2, "127.0.0.1:5002"])
      expect(await world.run("member", "remove", name, "-o", "json")).toEqual({
        status: 0,
        out: '{"promoted":[],"removed":[]}\n',
        err: `kvraft: 127.0.0.1:5002 was removed already (${id2})\n`,
      });
  });

  test("refuses the whole when one of them never was a member", async () => {
    const world = new World();
    for (const wrong of ["a:1", "127.0.0.1:500", "00000000000000b2"])
      expect(await world.run("member", "remove", id2, wrong)).toMatchObject({
        status: 2,
        out: "",
        err: expect.stringContaining(`Cannot remove ${wrong}: cluster 00000000000000c1 has no such member`),
      });
    // A part of an id is no id.
    expect((await world.run("member", "remove", id2.slice(0, 8))).status).toBe(2);
    expect(world.client.changes).toEqual([]);
  });

  test("guesses nothing where two members have one address", async () => {
    const world = new World();
    world.client.memberList.push({ ...memberOf(4, "learner", 0), address: "127.0.0.1:5003" });
    expect(await world.run("member", "remove", "127.0.0.1:5003")).toMatchObject({
      status: 2,
      err: `kvraft: Cannot tell which member at 127.0.0.1:5003 is meant: ${id3} (voter), ${id4} (learner); name it by its id\n`,
    });
  });

  test("removes nobody else when the member has moved since the list was made", async () => {
    const world = new World();
    world.client.beforeChange = () => {
      const [one, two, three] = world.client.memberList as [MemberStatus, MemberStatus, MemberStatus];
      world.client.memberList = [one, { ...two, address: three.address }, { ...three, address: two.address }];
    };
    const { status, err } = await world.run("member", "remove", "127.0.0.1:5003");
    expect({ status, err }).toEqual({
      status: 2,
      err:
        `kvraft: Cannot change the members: node ${id3} is at 127.0.0.1:5002 now, not at 127.0.0.1:5003; look at ` +
        '"kvraft member list"\n',
    });
    expect(world.client.memberList.length).toBe(3);
  });
});

describe("member replace", () => {
  test("promotes and removes in one change, and may be repeated", async () => {
    const world = worldWithLearner(5);
    expect(await world.run("member", "replace", "127.0.0.1:5003=127.0.0.1:5004")).toEqual({
      status: 0,
      out: `127.0.0.1:5004 is a voter now (${id4})\n127.0.0.1:5003 is no member any more (${id3})\n`,
      err: "",
    });
    expect(world.client.changes).toEqual([
      { promote: [], replace: [{ old: byAddress(3), new: byAddress(4) }] },
    ]);
    for (const pair of ["127.0.0.1:5003=127.0.0.1:5004", `${id3}=${id4}`])
      expect(await world.run("member", "replace", pair)).toEqual({
        status: 0,
        out: "",
        err: `kvraft: 127.0.0.1:5004 is a voter already (${id4})\nkvraft: 127.0.0.1:5003 was removed already (${id3})\n`,
      });
    expect(world.client.memberList.length).toBe(3);
  });

  test("refuses everything else at once, with what is the case, and changes nothing", async () => {
    const cases: readonly (readonly [string, string])[] = [
      // NEW is a voter: three voters would become two.
      ["127.0.0.1:5003=127.0.0.1:5002", "is a voter already, so that there would be one voter fewer"],
      // OLD is mistyped: three voters would become four.
      ["127.0.0.1:5033=127.0.0.1:5004", "has no such member, and none that was removed lately"],
      ["00000000000000b3=127.0.0.1:5004", "has no such member, and none that was removed lately"],
      ["localhost:5003=127.0.0.1:5004", "has no such member, and none that was removed lately"],
      ["127.0.0.1:5003=127.0.0.1:5003", "OLD and NEW are the same node"],
      [`${id3}=127.0.0.1:5003`, "OLD and NEW are the same node"],
      ["127.0.0.1:5004=127.0.0.1:5003", "is a learner, so that there would be one voter more"],
      [`${id3.slice(0, 8)}=${id4}`, "wanted a node id (16 hexadecimal digits) or its host:port"],
    ];
    for (const [pair, why] of cases) {
      const world = worldWithLearner(4000);
      expect(await world.run("member", "replace", pair)).toMatchObject({
        status: 2,
        out: "",
        err: expect.stringContaining(why),
      });
      expect(world.client.memberList.length).toBe(4);
      expect(world.client.memberList.filter(({ role }) => role === "voter").length).toBe(3);
    }
  });

  test("takes several pairs only when each node has one part", async () => {
    const world = () => {
      const made = worldWithLearner(0);
      made.client.memberList.push(memberOf(5, "learner", 0));
      return made;
    };
    const [two, three, four, five] = [2, 3, 4, 5].map((number) => `127.0.0.1:500${number}`);
    for (const [pairs, why] of [
      [[`${two}=${four}`, `${three}=${four}`], "is named in two places"],
      [[`${two}=${four}`, `${two}=${five}`], "is named in two places"],
      [[`${two}=${four}`, `${four}=${five}`], "is named both as one that comes and as one that goes"],
      [[`${two}=${four}`, `${three}=127.0.0.1:5001`], "is a voter already"],
    ] as const) {
      const made = world();
      expect(await made.run("member", "replace", ...pairs)).toMatchObject({
        status: 2,
        err: expect.stringContaining(why),
      });
      expect(made.client.memberList.filter(({ role }) => role === "voter").length).toBe(3);
    }
    const made = world();
    expect((await made.run("member", "replace", `${two}=${four}`)).status).toBe(0);
    // One pair was done before, one is named twice over.
    const again = await made.run(
      "member",
      "replace",
      `${two}=${four}`,
      `${three}=${five}`,
      `${three}=${five}`,
    );
    expect(again.status).toBe(0);
    expect(again.out).toBe(
      `${five} is a voter now (00000000000000a5)\n${three} is no member any more (${id3})\n`,
    );
  });

  test("tells a server that lost its folder from the node that it was by their ids only", async () => {
    const world = new World();
    world.client.memberList.push({ ...memberOf(4, "learner", 0), address: "127.0.0.1:5003" });
    expect(await world.run("member", "replace", "127.0.0.1:5003=127.0.0.1:5003")).toMatchObject({
      status: 2,
      err: expect.stringContaining(`${id3} (voter), ${id4} (learner); name it by its id`),
    });
    expect((await world.run("member", "replace", `${id3}=${id4}`)).status).toBe(0);
    expect(world.client.memberList.map(({ nodeId }) => nodeId)).toEqual(["00000000000000a1", id2, id4]);
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

  test("is no success when another one leads afterwards than the one that was named", async () => {
    const world = new World();
    world.client.transferLeadership = async () => {
      world.client.leader = "127.0.0.1:5002";
    };
    expect(await world.run("leader", "transfer", id3)).toMatchObject({ status: 1, out: "127.0.0.1:5002\n" });
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
