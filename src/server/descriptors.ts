/**
 * How many connections a node may hold, from how many descriptors its process may have. Who needs a descriptor and gets
 * none, ends (the log, the store) or spins (the accepting of connections): so the connections leave room for all others.
 */
import { openTablesMaxOf } from "../env/open-tables.ts";
import { KvraftError } from "../lib/error.ts";
import {
  formConnectionsMax,
  laneConnectionsMax,
  unknownPeerConnectionsMax,
  unknownPeerConnectionsMin,
} from "./limits.ts";

/** A node with fewer does not start: what its own files and a few members take leaves hardly any room for clients. */
export const descriptorsMin = 160;
/**
 * Kept for the process: standard streams, the event loop, locks, the listener, the log's segments and folders, the store's
 * worker, files that are written or synced, and lookups.
 */
const processDescriptors = 56;
/** Connections of strangers that fit beside all others: members and clients come in through these. */
const strangersMin = 24;
/** Each other member is dialled on two lanes, and a lane that seems dead is dialled anew beside it. */
const dialledPerMember = 4;
const acceptedPerMember = 2 * laneConnectionsMax;

export interface Descriptors {
  /** What the process may open; undefined when that is not known, and then there is no bound. */
  readonly limit: number | undefined;
  /** Other members than this node. */
  readonly others: number;
}

/** Accepted connections of every kind. */
export function connectionsMaxOf({ limit, others }: Descriptors, wanted: number): number {
  if (limit === undefined) return wanted;
  const room = limit - processDescriptors - dialledPerMember * others - 2 * openTablesMaxOf(limit);
  return Math.max(strangersMin, Math.min(wanted, room));
}

/** Of these, how many may be clients': members and strangers always find room. */
export function clientsMaxOf(descriptors: Descriptors, connections: number, wanted: number): number {
  return Math.max(0, Math.min(wanted, connections - unknownPeerConnectionsMin - reservedOf(descriptors)));
}

/** And how many those of peers that are no members as far as is known here. */
export function unknownPeersMaxOf(descriptors: Descriptors, connections: number, clientsMax: number): number {
  const room = connections - clientsMax - reservedOf(descriptors);
  return Math.max(unknownPeerConnectionsMin, Math.min(unknownPeerConnectionsMax, room));
}

function reservedOf({ others }: Descriptors): number {
  return acceptedPerMember * others + formConnectionsMax + strangersMin;
}

/** Throws a KvraftError (CONFIG) when the process may open too few. */
export function checkDescriptors(limit: number | undefined): void {
  if (limit === undefined || limit >= descriptorsMin) return;
  throw new KvraftError(
    "CONFIG",
    `Cannot start: this process may open ${limit} files and connections, at least ${descriptorsMin} are wanted; raise the ` +
      'limit, with "ulimit -n 65536" in the shell that starts it, LimitNOFILE=65536 in its systemd unit, or ' +
      '"--ulimit nofile=65536" of its container',
  );
}
