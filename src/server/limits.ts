/** Bounds of a node that are not worth an option. */
import { frameBodyBytesMax } from "../rpc/limits.ts";

/** Bytes of entries in one AppendEntries: a follower's sync per message, and a fair share of its event loop. */
export const appendBytesMax = 256 * 1024;
/** Bytes of entries under way to one follower: covers some ms of a fast link, and bounds what a slow one costs. */
export const windowBytesMax = 4 * 1024 * 1024;
/** Bytes of one command: it has to fit into a frame between peers too, and its value into a reply. */
export const commandBytesMax = frameBodyBytesMax - 4096;
/** How far ahead of the log's time a session's birth may lie, in ms: clocks differ, but not by hours. */
export const bornAheadMsMax = 60_000;
/** How often deadlines of requests are looked at, in ms. */
export const expireEveryMs = 50;
