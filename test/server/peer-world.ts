import { Prng } from "../../src/env/prng.ts";
import type { Heartbeat, NodeId } from "../../src/raft/types.ts";
import type { Connection } from "../../src/rpc/connection.ts";
import { type Frame, frameKind } from "../../src/rpc/frame.ts";
import { type Greeting, Listener } from "../../src/rpc/listener.ts";
import { methodName } from "../../src/rpc/method.ts";
import { Peers } from "../../src/server/peers.ts";
import { decodeMessage } from "../../src/server/raft-messages.ts";
import { ManualClock, MemoryNet } from "../rpc/memory-net.ts";

export const own = "000000000000000a" as NodeId;
export const peer = "000000000000000b" as NodeId;
export const clusterId = "00000000000000c1";
export const firstPort = 7001;

/** A heartbeat that says by its commit index whom it is for: the wire does not. */
export function heartbeatTo(to: NodeId): Heartbeat {
  return { kind: "heartbeat", from: own, to, term: 1, commit: Number.parseInt(to, 16), context: 1 };
}

/** A process of a node: it answers hellos, and requests with what they hold and the last byte of its id, until it is killed. */
export class PeerProcess {
  readonly arrived: string[] = [];
  /** Whom the heartbeats that arrived here were for. */
  readonly meantFor: number[] = [];
  readonly listener: Listener<unknown>;
  refusal: Greeting["refusal"];
  mustAnswer = true;
  nodeId: string;
  bootId: string;
  clusterId = clusterId;

  constructor(world: PeerWorld, port: number, nodeId: string, bootId: string) {
    this.nodeId = nodeId;
    this.bootId = bootId;
    this.listener = new Listener(
      world,
      { host: "sim", port, roles: ["peer"] },
      {
        greet: () => this.#greeting(),
        frame: (connection, frame) => this.#frame(connection, frame),
        closed: () => {},
        log: () => {},
      },
    );
  }

  #greeting(): Greeting {
    const { clusterId, nodeId, bootId, refusal } = this;
    const greeting = { clusterId, nodeId, bootId, keyBytesMax: 0, valueBytesMax: 0, leader: "" };
    return refusal === undefined ? greeting : { ...greeting, refusal };
  }

  #frame(connection: Connection<unknown>, frame: Frame): void {
    this.arrived.push(`${connection.hello!.purpose} ${methodName(frame.method)}`);
    if (frame.kind === frameKind.request) this.#answer(connection, frame);
    else {
      const message = decodeMessage(frame.method, frame.reader(), own, peer);
      if (message.kind === "heartbeat") this.meantFor.push(message.commit);
    }
  }

  #answer(connection: Connection<unknown>, frame: Frame): void {
    if (!this.mustAnswer) return;
    const output = connection.begin(frameKind.reply, frame.method, frame.requestId);
    if (output === undefined) return;
    output.raw(frame.body());
    output.u8(Number.parseInt(this.nodeId, 16)); // Who answers.
    connection.end();
    connection.flush();
  }
}

/** A node with one peer at first, and whoever a test starts. Time moves when a test says so. */
export class PeerWorld {
  readonly clock = new ManualClock();
  readonly net = new MemoryNet(this.clock, new Prng(1), 1 << 16);
  readonly lines: string[] = [];
  /** What was told by `gone` and `removed`, with the time. */
  readonly told: string[] = [];
  readonly #note = (text: string) => this.told.push(text);
  #bootCount = 0;
  readonly peers = new Peers({
    env: this,
    clusterId,
    nodeId: own,
    chance: new Prng(2),
    peers: [{ nodeId: peer, address: `sim:${firstPort}` }],
    log: (line) => this.lines.push(line),
    gone: (nodeId) => this.#note(`gone ${nodeId}`),
    removed: (text) => this.#note(`removed: ${text}`),
  });

  /** Each process has a boot id of its own. */
  start(nodeId: string = peer, port = firstPort): PeerProcess {
    this.#bootCount++;
    return new PeerProcess(this, port, nodeId, this.#bootCount.toString(16).padStart(16, "0"));
  }

  /** Starts the process and lets the node connect. */
  connected(nodeId: string = peer, port = firstPort): PeerProcess {
    const process = this.start(nodeId, port);
    this.clock.run(3000);
    return process;
  }

  send(to: NodeId = peer): boolean {
    const isSent = this.peers.send(heartbeatTo(to));
    this.peers.flush();
    this.clock.run(20);
    return isSent;
  }
}
