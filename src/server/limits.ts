/** Bounds of a node that are not worth an option. */
import { frameBodyBytesMax } from "../rpc/limits.ts";

/** Bytes of entries in one AppendEntries: a follower's sync per message, and a fair share of its event loop. */
export const appendBytesMax = 256 * 1024;
/** Bytes of entries under way to one follower: covers some ms of a fast link, and bounds what a slow one costs. */
export const windowBytesMax = 4 * 1024 * 1024;
/** Bytes of one command: it has to fit into a frame between peers too, and its value into a reply. */
export const commandBytesMax = frameBodyBytesMax - 4096;
/** How far ahead of lease time a session's birth may lie, in ms: lease time pauses, and a client's clock runs on. */
export const bornAheadMsMax = 60_000;
/** An idle leader writes its lease time into the log so often, in ms: a restart of all nodes keeps it. */
export const clockEntryEveryMs = 60_000;
/** A leader looks so often, in ms, whether wall time is off, and moves it when it is by as much as this. */
export const wallCheckEveryMs = 1_000;
export const wallOffMsMax = 100;
/** How often deadlines of requests are looked at, in ms. */
export const expireEveryMs = 50;
/** A learner that is no further behind than so many entries may become a voter: it has the rest in a moment. */
export const learnerLagEntriesMax = 5_000;
/** Nor by more bytes of the log than so many: twice what is under way to a follower that keeps up. */
export const learnerLagBytesMax = 2 * windowBytesMax;
/** Each member is dialled and told everything: more come from a mistake, as a server that joins at each start. */
export const membersMax = 64;
/**
 * The store takes up what is applied after so many times as many bytes of the log as its memory has, at the latest: more
 * than writes of small values take in the log before they have filled it.
 */
export const unsealedMemtables = 4;
/** A leader that is to stop hands its office over first, for so long at the most, in ms. */
export const handOverMsMax = 1_000;
/** A removed node stays for so long after it has learned of it, in ms: what it says last has to leave. */
export const removedLingerMs = 500;
/** Requests that wait for a change of the members, or of the leader: people and scripts ask, and few of them. */
export const memberWaitersMax = 256;
/** Bytes of rows in one piece of a snapshot: a millisecond of the event loop of who reads it. */
export const snapshotPieceBytes = 256 * 1024;
/**
 * Bytes of snapshots that a node reads in a second, for all who want one together. Reading, sending and, at the other end,
 * writing cost processor and disk of machines that serve clients.
 */
export const snapshotBytesPerSecondMax = 32 * 1024 * 1024;
/** Snapshots that are read at one time: each holds files that merges have replaced. */
export const snapshotsMax = 8;
/** Of these clients may read so many: they can begin some and go away, and the cluster may wait for a member. */
export const clientSnapshotsMax = 6;
/** Pieces that are asked for ahead of the one that is stored. */
export const snapshotPiecesAheadMax = 4;
/** A piece is waited for so long, in ms, before it is asked for again. */
export const snapshotPieceMsMax = 5_000;
/** Connections that one node may have dialled for one purpose: a new one beside one that seems dead, and one that ends. */
export const laneConnectionsMax = 3;
/**
 * Connections of peers that are no members as far as is known here: all members, for a new server. Where descriptors are
 * few, there is room for the lower number.
 */
export const unknownPeerConnectionsMax = 128;
export const unknownPeerConnectionsMin = 16;
/** Connections of servers that ask whether a cluster is to be formed: one of each of as many as there may be. */
export const formConnectionsMax = 16;
/** Milliseconds that answering reads may take out of one turn of the event loop: heartbeats come in between. */
export const readTurnMs = 4;
/** Milliseconds, and bytes, that the input of clients may take out of one. */
export const clientTurnMs = 4;
export const clientTurnBytesMax = 8 * 1024 * 1024;
/** Requests of one connection that wait for an answer: as many as a client of ours makes, and a part of what all may. */
export const requestsPerConnectionMax = 16_384;
/** Pieces of snapshots that clients wait for: each reader needs one at a time. */
export const clientPiecesMax = 64;
/** Reads that wait for time to be answered before clients' input waits, too: a few milliseconds of answers. */
export const unansweredReadsMax = 1_024;
