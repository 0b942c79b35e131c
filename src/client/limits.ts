/** Commands of one client under way at one time: well below what a session keeps results for (kv/limits.ts). */
export const inFlightMax = 128;
/** One try, in ms: a leader that hangs is left after this, long before a request's own deadline. */
export const attemptTimeoutMs = 1500;
/** A session that was idle for longer is not used again, in ms: half of the life that the servers give it. */
export const sessionIdleMsMax = 300_000;
/** A request's caller hears of its deadline so much later than its last attempt does, in ms. */
export const deadlineGraceMs = 15;
/** How long one node may take to say how it is, in ms. */
export const statusTimeoutMs = 1000;
/** How long the leader is looked for before the members are told as another node knows them, in ms. */
export const membersPatienceMs = 2000;
/** A piece of a snapshot may be asked for so often at least before its time is up. */
export const snapshotTriesMin = 3;
