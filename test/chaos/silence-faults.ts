import type { Prng } from "../../src/env/prng.ts";
import { anyOne, drawSome, theLeader } from "./choices.ts";
import { type Begun, type Choice, type Fault, namesOf, type Stage } from "./fault.ts";
import type { Silence, SilenceRule } from "./links.ts";

/** A silence between nodes and those who dial them: nobody is told, and what TCP does about it takes the longer the longer it lasts. */
function begin(stage: Stage, prng: Prng, whom: string, rule: SilenceRule): Begun {
  const { links } = stage;
  const before = links.silenced;
  const heal = links.silence(rule);
  let met = false;
  return {
    whom,
    holdMs: prng.pick([prng.int(500, 2_500), prng.int(2_500, 6_000)]),
    heal: () => {
      met = links.silenced > before;
      heal();
    },
    met: () => met,
  };
}

/** Mostly both ways. */
function drawSilence(prng: Prng): Silence {
  return prng.pick(["both", "both", "in", "out"] as const);
}

function silenceNode(name: string, weight: number, choose: Choice): Fault {
  return {
    name,
    weight,
    begin: async (stage, prng) => {
      const [node] = await choose(stage, prng);
      if (node === undefined) return undefined;
      const silence = drawSilence(prng);
      const rule: SilenceRule = ({ from, to }) =>
        from.kind === "node" && (from.index === node) !== (to === node) ? silence : undefined;
      return begin(stage, prng, `${namesOf([node])} and the other nodes, ${silence}`, rule);
    },
  };
}

const silenceAll: Fault = {
  name: "silence between all nodes",
  weight: 2,
  begin: async (stage, prng) =>
    begin(stage, prng, "all nodes", ({ from }) => (from.kind === "node" ? "both" : undefined)),
};

const silenceClients: Fault = {
  name: "silence between clients and nodes",
  weight: 3,
  begin: async (stage, prng) => {
    const all = Array.from({ length: stage.clientCount }, (_, index) => index);
    const clients = drawSome(prng, all, prng.int(1, stage.clientCount));
    const nodes = drawSome(prng, stage.nodes.members, prng.int(1, stage.nodes.members.length));
    const silence = drawSilence(prng);
    const rule: SilenceRule = ({ from, to }) =>
      from.kind === "client" && clients.includes(from.index) && nodes.includes(to) ? silence : undefined;
    return begin(stage, prng, `${clients.length} clients and ${namesOf(nodes)}, ${silence}`, rule);
  },
};

/** Networks that drop everything while connections stay up. */
export const silenceFaults: readonly Fault[] = [
  silenceNode("silence around one", 3, anyOne),
  silenceNode("silence around the leader", 4, theLeader),
  silenceAll,
  silenceClients,
];
