import type { NodeId } from "../raft/types.ts";
import type { Connection } from "../rpc/connection.ts";
import type { HelloPurpose } from "../rpc/hello.ts";
import type { Guest } from "./guest.ts";
import { formConnectionsMax, laneConnectionsMax } from "./limits.ts";

/**
 * How many connections whoever says hello as a peer may hold. A hello proves nothing: without a bound, one who says many
 * would take the room of the members and clients. The newest connections of a member stay, since a member dials a new one
 * beside one that seems dead.
 */
export class PeerAdmission {
  /** Oldest first, by node and purpose. */
  readonly #byName = new Map<string, Connection<Guest>[]>();
  /** Of nodes that were no members when they came. */
  readonly #unknown = new Set<Connection<Guest>>();
  #formCount = 0;

  /** Takes the connection in; or returns why not, for people. */
  admit(
    connection: Connection<Guest>,
    nodeId: NodeId,
    purpose: HelloPurpose,
    isMember: boolean,
    unknownMax: number,
  ): string | undefined {
    if (purpose === "form") {
      if (this.#formCount >= formConnectionsMax) return `${formConnectionsMax} servers ask for it already`;
      this.#formCount++;
      return undefined;
    }
    if (!isMember && this.#unknown.size >= unknownMax)
      return `${unknownMax} connections of nodes that are no members are open already`;
    if (!isMember) this.#unknown.add(connection);
    const name = nameOf(nodeId, purpose);
    const connections = this.#byName.get(name) ?? [];
    this.#byName.set(name, connections);
    connections.push(connection);
    if (connections.length > laneConnectionsMax)
      connections.shift()!.close("newer connections of the same node have taken its place");
    return undefined;
  }

  /** The connection is gone. */
  gone(connection: Connection<Guest>): void {
    const { context, hello } = connection;
    if (context?.purpose === "form") this.#formCount--;
    this.#unknown.delete(connection);
    if (context?.peer === undefined || hello === undefined) return;
    const name = nameOf(context.peer, context.purpose);
    const left = this.#byName.get(name)?.filter((other) => other !== connection) ?? [];
    if (left.length > 0) this.#byName.set(name, left);
    else this.#byName.delete(name);
  }
}

function nameOf(nodeId: NodeId, purpose: HelloPurpose): string {
  return `${nodeId} ${purpose}`;
}
