import { connect, type Socket } from "node:net";
import { anyOne, theLeader } from "./choices.ts";
import { type Fault, namesOf } from "./fault.ts";

/** Every server may open so many files and connections (`limitedWrapper`); the runs of its store, which are small here, take a thousand. */
export const descriptorsMax = 2048;
/** `limits.connections` of every server; far more strangers come at once. */
export const clientConnectionsMax = 150;
const strangersMax = 900;

/** Connections that never say a word: the server must refuse some of them, serve its members and clients, and live. */
const strangers: Fault = {
  name: "strangers without end",
  weight: 4,
  begin: async (stage, prng) => {
    const { nodes } = stage;
    const [victim] = await (prng.chance(1, 2) ? theLeader : anyOne)(stage, prng);
    if (victim === undefined) return undefined;
    const port = nodes.cluster.ports[victim]!;
    let refused = 0;
    const sockets = Array.from({ length: strangersMax }, (): Socket => {
      const socket = connect(port, "127.0.0.1");
      socket.on("close", () => refused++);
      socket.on("error", () => {});
      return socket;
    });
    let met = false;
    return {
      whom: `${strangersMax} at ${namesOf([victim])}`,
      holdMs: prng.int(1_000, 4_000),
      heal: () => {
        met = refused > 0;
        for (const socket of sockets) socket.destroy();
      },
      met: () => met,
    };
  },
};

export const strangerFaults: readonly Fault[] = [strangers];
