import { afterAll, beforeAll, expect, test } from "bun:test";
import { BunClock } from "../../src/env/bun-clock.ts";
import { BunNet } from "../../src/env/bun-net.ts";
import { Prng } from "../../src/env/prng.ts";
import { encodeCommand } from "../../src/kv/command.ts";
import { emptyBytes, toUtf8 } from "../../src/lib/bytes.ts";
import type { ByteWriter } from "../../src/lib/codec.ts";
import type { Entry, Message, NodeId } from "../../src/raft/types.ts";
import { ClientEnd } from "../../src/rpc/client-end.ts";
import { frameKind } from "../../src/rpc/frame.ts";
import { makeHello, noId } from "../../src/rpc/hello.ts";
import { method } from "../../src/rpc/method.ts";
import { encodeMembers, membersOf } from "../../src/server/members.ts";
import { encodeMessage, laneOf, methodOf } from "../../src/server/raft-messages.ts";
import { Cluster } from "./cluster.ts";
import { cleanUp } from "./processes.ts";
import { frame, hello, Stranger } from "./stranger.ts";
import { until } from "./wait.ts";

// Somebody says hello as a member and sends messages that look as Raft's do, with the present term and the members' ids.
// The hello proves nothing today, so they can disturb. They end no process, and nothing that they sent ends one later.

const seed = Number(process.env["SEED"] ?? 20_261_201);

let cluster: Cluster;
let ids: NodeId[];
let clusterId: string;
beforeAll(async () => {
  cluster = await Cluster.start();
  const nodes = await cluster.status();
  ids = nodes.map(({ nodeId }) => nodeId as NodeId);
  clusterId = nodes[0]!.clusterId!;
}, 30_000);
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await cleanUp();
});

/** The boot of the process that runs at place `index`, as it tells everybody who says hello. */
async function bootOf(index: number): Promise<string> {
  const ask = makeHello({ clusterId: noId, nodeId: noId, role: "client", purpose: "client" });
  const end = new ClientEnd(
    { clock: new BunClock(), net: new BunNet() },
    { host: "127.0.0.1", port: cluster.ports[index]! },
    ask,
  );
  end.connect();
  await until("the answer to a hello", () => end.helloReply !== undefined);
  const { bootId } = end.helloReply!;
  await end.close();
  return bootId;
}

/** Connects to the server `to` as the member `as`, process included, on the connection that such a message takes. */
async function impostor(to: number, as: NodeId, purpose: "control" | "bulk"): Promise<Stranger> {
  const stranger = await Stranger.connect(cluster.ports[to]!);
  const place = ids.indexOf(as);
  const id = place < 0 ? "00000000000000fe" : await bootOf(place);
  const start = { boot: { number: 1, id }, term: 1, index: 1 };
  stranger.send(hello({ clusterId, nodeId: as, role: "peer", purpose, start }));
  await until("the answer to the hello", () => stranger.received > 0 || stranger.isClosed);
  return stranger;
}

const bytesOf = (message: Message) =>
  frame(frameKind.message, methodOf[message.kind], (body: ByteWriter) => encodeMessage(body, message), 0);

async function send(to: number, message: Message): Promise<Stranger> {
  const stranger = await impostor(to, message.from, laneOf(message));
  stranger.send(bytesOf(message));
  return stranger;
}

function putOf(key: string, timeMs = 0): Uint8Array<ArrayBuffer> {
  return frame(frameKind.request, method.put, (writer) =>
    encodeCommand(writer, {
      ...{ type: "put", timeMs, session: undefined, principal: emptyBytes },
      ...{ key: toUtf8(key), value: toUtf8("v") },
    }),
  ).slice(16);
}

async function allServe(): Promise<void> {
  for (const index of cluster.ports.keys()) {
    expect(cluster.servers[index]!.isRunning, cluster.logOf(index)).toBe(true);
    expect(cluster.logOf(index)).not.toContain("bug in kvraft");
  }
  await cluster.client({ timeoutMs: 10_000 }).put("still", "there");
}

test("a heartbeat with the leader's own term ends the connection, with one line, and not the leader", async () => {
  const leader = await cluster.awaitLeader();
  const { term } = (await cluster.status())[leader]!;
  const from = ids[(leader + 1) % 3]!;
  const message = { kind: "heartbeat", from, to: ids[leader]!, term: term!, commit: 1, context: 0 } as const;
  const stranger = await send(leader, message);
  await stranger.closedByServer();
  await until(
    "the line",
    () => cluster.logOf(leader).includes(`this node leads term ${term}`),
    3_000,
    () => cluster.logOf(leader),
  );
  expect(cluster.logOf(leader)).toMatch(
    /Closed the connection from 127\.0\.0\.1:\d+: Raft\.Heartbeat cannot be read: no member can have sent it: this node leads/,
  );
  await allServe();
  expect(await cluster.leader()).toBe(leader);
});

test("entries that could not be applied never enter a log", async () => {
  const leader = await cluster.awaitLeader();
  const [to, other] = [(leader + 1) % 3, (leader + 2) % 3];
  const { term = 0, lastIndex = 0 } = (await cluster.status())[to]!;
  const member = { nodeId: ids[to]!, address: "127.0.0.1:1", role: "learner" } as const;
  const bad: Pick<Entry, "kind" | "data">[] = [
    { kind: "command", data: toUtf8("no command") },
    { kind: "command", data: putOf("k", Number.MAX_SAFE_INTEGER) },
    { kind: "noop", data: toUtf8("x") },
    { kind: "config", data: toUtf8("no members") },
    { kind: "config", data: encodeMembers(membersOf([], [])) },
    { kind: "config", data: encodeMembers(membersOf([member], [])) },
    { kind: "config", data: encodeMembers(membersOf([member, { ...member, role: "voter" }], [])) },
  ];
  for (const entry of bad) {
    const stranger = await send(to, {
      ...{ kind: "append-entries", from: ids[leader]!, to: ids[to]!, term, prev: { term, index: lastIndex } },
      ...{ entries: [{ ...entry, term, index: lastIndex + 1 }], commit: lastIndex + 1 },
    });
    await stranger.closedByServer();
  }
  const strangers = await send(to, {
    kind: "heartbeat",
    from: ids[leader]!,
    to: ids[to]!,
    term,
    commit: 2 ** 40,
    context: 0,
  });
  await strangers.closedByServer();
  await allServe();
  // Nothing of it stands in a file.
  await cluster.stop(to);
  cluster.restart(to);
  await cluster.awaitEqual();
  expect(cluster.servers[other]!.isRunning).toBe(true);
}, 20_000);

test("a majority of impostors cannot condemn a node by other hashes", async () => {
  const leader = await cluster.awaitLeader();
  const to = (leader + 1) % 3;
  for (const from of [ids[leader]!, ids[(leader + 2) % 3]!]) {
    const stranger = await impostor(to, from, "control");
    stranger.send(
      frame(
        frameKind.message,
        method.agreement,
        (body) => {
          body.varint(4096);
          body.u32(1);
        },
        0,
      ),
    );
    await stranger.closedByServer();
  }
  await allServe();
});

test("random messages with the present term, as any member and to every node, end no process", async () => {
  const prng = new Prng(seed);
  for (let round = 0; round < 12; round++) {
    const nodes = (await cluster.status()) as unknown as {
      term?: number;
      lastIndex?: number;
      commit?: number;
    }[];
    const to = round % 3;
    const { term = 1, lastIndex = 1, commit = 1 } = nodes[to]!;
    const strangers = new Map<string, Stranger>();
    for (let count = 0; count < 40; count++) {
      const from = prng.pick([...ids.filter((id) => id !== ids[to]), "00000000000000ff" as NodeId]);
      const message = drawMessage(prng, { from, to: ids[to]!, term: term + prng.pick([0, 0, 0, 1, 2]) }, [
        lastIndex,
        commit,
      ]);
      const name = `${from} ${laneOf(message)}`;
      const known = strangers.get(name);
      const stranger = known?.isClosed === false ? known : await impostor(to, from, laneOf(message));
      strangers.set(name, stranger);
      stranger.send(bytesOf(message));
    }
    for (const stranger of strangers.values()) stranger.end();
    for (const index of cluster.ports.keys())
      expect(cluster.servers[index]!.isRunning, `seed ${seed}, round ${round}: ${cluster.logOf(index)}`).toBe(
        true,
      );
  }
  for (const index of cluster.ports.keys()) expect(cluster.logOf(index)).not.toContain("bug in kvraft");
}, 40_000);

/** Valid in form, near what the node has. Acknowledgements and appends are left out: those that fit are lies about data. */
function drawMessage(
  prng: Prng,
  envelope: { from: NodeId; to: NodeId; term: number },
  [lastIndex, commit]: readonly [number, number],
): Message {
  const near = () => Math.max(0, prng.pick([lastIndex, commit, lastIndex + 1, commit - 1, 0, 2 ** 52]));
  const last = { index: near(), term: Math.max(0, envelope.term - prng.int(0, 1)) };
  switch (prng.int(1, 7)) {
    case 1:
      return {
        kind: "request-vote",
        ...envelope,
        last,
        preVote: prng.chance(1, 2),
        isTransfer: prng.chance(1, 2),
      };
    case 2:
      return {
        kind: "request-vote-reply",
        ...envelope,
        preVote: prng.chance(1, 2),
        granted: prng.chance(1, 2),
      };
    case 3:
      return { kind: "heartbeat", ...envelope, commit: near(), context: near() };
    case 4:
      return { kind: "heartbeat-reply", ...envelope, context: near() };
    case 5:
      return { kind: "timeout-now", ...envelope };
    case 6:
      return { kind: "install-snapshot", ...envelope, start: last };
    default:
      return {
        kind: "append-entries",
        ...envelope,
        prev: last,
        entries: [],
        commit: Math.min(commit, near()),
      };
  }
}
