import { printable } from "../rpc/printable.ts";

/** The members of the cluster, as one of its nodes knows them. */
export interface MemberList {
  readonly clusterId: string;
  /** `host:port` of the leader, or empty when the node knows none. */
  readonly leader: string;
  /** Its node id, or empty: two members may have one address. */
  readonly leaderId: string;
  readonly members: readonly MemberStatus[];
  /** Nodes that were removed, the last ones, with the addresses that they had. */
  readonly removed: readonly RemovedNode[];
}

export interface RemovedNode {
  readonly nodeId: string;
  readonly address: string;
}

/**
 * A member. What only the leader knows is undefined when another node has told the rest.
 *
 * - `voter`: decides
 * - `incoming`, `outgoing`: decides after a change of the members that is under way, or before it
 * - `learner`: is sent everything, and decides nothing
 */
export interface MemberStatus {
  readonly nodeId: string;
  /** `host:port`. */
  readonly address: string;
  readonly role: "voter" | "incoming" | "outgoing" | "learner";
  /** The last log index that is known to be there. */
  readonly match: number | undefined;
  /** Entries that the leader has and that are not known to be there. */
  readonly lag: number | undefined;
  /** About how many bytes of the leader's log they take. */
  readonly lagBytes?: number | undefined;
  /** Of a learner: why it cannot become a voter yet; undefined when it can, or no leader has told. */
  readonly behind?: string | undefined;
  /** The leader has heard of it lately. */
  readonly isActive: boolean | undefined;
}

const roles = ["voter", "incoming", "outgoing", "learner"] as const;

/**
 * The members that a node told in JSON (rpc/member-requests.ts). A member without an id, an address or a known role is
 * left out, other fields that are not of their kind are undefined, and control characters are replaced: this is shown to
 * people. Throws SyntaxError for what is no JSON.
 */
export function memberListOf(json: string): MemberList {
  const said = fieldsOf(JSON.parse(json));
  const members = said.get("members");
  return {
    clusterId: textOf(said.get("clusterId")) ?? "",
    leader: textOf(said.get("leader")) ?? "",
    leaderId: textOf(said.get("leaderId")) ?? "",
    members: Array.isArray(members) ? members.flatMap((member: unknown) => memberOf(member) ?? []) : [],
    removed: removedOf(said.get("removed")),
  };
}

/** Whether the leader itself has told it: no other node knows how far the members are. */
export function isToldByLeader({ members }: MemberList): boolean {
  return members.some(({ match }) => match !== undefined);
}

function memberOf(said: unknown): MemberStatus | undefined {
  const fields = fieldsOf(said);
  const [nodeId, address] = [textOf(fields.get("nodeId")), textOf(fields.get("address"))];
  const role = roles.find((each) => each === fields.get("role"));
  if (nodeId === undefined || address === undefined || role === undefined) return undefined;
  const isActive = fields.get("active");
  const [match, lag] = [numberOf(fields.get("match")), numberOf(fields.get("lag"))];
  // The field is there only when it is true; the leader's others tell that it would be.
  const isKnown = typeof isActive === "boolean" || match !== undefined;
  const [lagBytes, behind] = [numberOf(fields.get("lagBytes")), textOf(fields.get("behind"))];
  return {
    ...{ nodeId, address, role, match, lag, lagBytes, behind },
    isActive: isKnown ? isActive === true : undefined,
  };
}

function removedOf(said: unknown): RemovedNode[] {
  if (!Array.isArray(said)) return [];
  return said.flatMap((each: unknown) => {
    const fields = fieldsOf(each);
    const [nodeId, address] = [textOf(fields.get("nodeId")), textOf(fields.get("address"))];
    return nodeId === undefined || address === undefined ? [] : { nodeId, address };
  });
}

function fieldsOf(said: unknown): Map<string, unknown> {
  return new Map(typeof said === "object" && said !== null ? Object.entries(said) : []);
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? printable(value) : undefined;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}
