/**
 * Limits of the replicated state. They are part of what every replica must compute alike, so they are constants of
 * the state machine's version and not options of a node.
 */

/** A session ends when the log's time has moved on by this much since its last command, in milliseconds. */
export const sessionLifeMs = 600_000;
/**
 * Sessions kept; one more ends the one that was quiet for the longest. About 200 bytes each, and some 50 more for each
 * result that its client has not acknowledged: one in a session that is used as it should be, sessionResultsMax at most.
 */
export const sessionsMax = 65_536;
/** Results kept for one session until the client acknowledges them; also the most commands it may have under way. */
export const sessionResultsMax = 256;
/** Characters of a session's name: room for a nanoid of 21, and no more than a short string. */
export const sessionNameBytesMax = 64;
/** Bytes of the name of the principal on whose behalf a command is proposed. */
export const principalBytesMax = 255;
/**
 * The latest time that a command may carry, in ms: the last one that a date can hold. Lease time never goes
 * back, so one command must not take it to where numbers are not exact any more.
 */
export const commandTimeMsMax = 8_640_000_000_000_000;
