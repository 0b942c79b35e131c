import type { Configuration, NodeId } from "../../src/raft/types.ts";
import { dumbQuorum } from "../raft/dumb-quorum.ts";
import type { SimMachine } from "./sim-machine.ts";

/**
 * Of the sound machines, in that order, as few as make a quorum of every configuration that may be in force; undefined when
 * all of them do not. `idOf` tells who a machine is.
 */
export function chooseSurvivors(
  sound: readonly SimMachine[],
  configurations: readonly Configuration[],
  idOf: (machine: SimMachine) => NodeId | undefined,
): SimMachine[] | undefined {
  const chosen: SimMachine[] = [];
  const ids = new Set<NodeId>();
  const isEnough = () => configurations.every((configuration) => dumbQuorum(configuration, ids));
  for (const machine of sound) {
    if (isEnough()) break;
    const id = idOf(machine);
    if (id === undefined || !configurations.some((configuration) => isVoterOf(configuration, id))) continue;
    chosen.push(machine);
    ids.add(id);
  }
  return isEnough() ? chosen : undefined;
}

/** Whether a quorum of every one of these configurations is left when these nodes are lost. */
export function isBearable(configurations: readonly Configuration[], lost: ReadonlySet<NodeId>): boolean {
  return configurations.every((configuration) => {
    const { incoming, outgoing } = configuration;
    const left = new Set([...incoming, ...outgoing].filter((id) => !lost.has(id)));
    return dumbQuorum(configuration, left);
  });
}

function isVoterOf({ incoming, outgoing }: Configuration, id: NodeId): boolean {
  return incoming.includes(id) || outgoing.includes(id);
}
