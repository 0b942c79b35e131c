/** Every bound of the wire. Reaching one is an expected outcome: a refusal or a closed connection, never growth. */

/** Bytes of a frame before its body. */
export const frameHeaderBytes = 16;

/** Bytes of one body: three of the largest values (8 MiB), so that a value always fits beside keys and headers. */
export const frameBodyBytesMax = 24 * 1024 * 1024;

/** Bytes of a hello's or its answer's body. Small, since anyone may send one: it is all a stranger can make us hold. */
export const helloBytesMax = 4096;

/** Bytes of a text or an address inside a hello: a line on a terminal, a host name of 253 bytes with its port. */
export const helloTextBytesMax = 1024;

/** Bytes of all members' addresses inside a hello's answer: seventy IPv4 ones, and room for its other fields. */
export const helloServersBytesMax = 1536;

/** An accepted connection must have said hello by then (ms): room for a slow link, too short to collect idle sockets. */
export const helloTimeoutMs = 5000;

/** A dial must have its hello answered by then (ms), unless its caller has less time: three SYNs, or a lost packet. */
export const connectTimeoutMs = 2000;

/**
 * Bytes that may wait in one connection before it counts as full: eight of the largest values. One frame may still
 * begin below the bound, so a connection holds at most this and a frame.
 */
export const outputBytesMax = 64 * 1024 * 1024;

/**
 * Bytes of memory for all clients of a node together: frames that have not arrived whole, and replies that wait to be read.
 * A few dozen of the largest values under way; when it is more, the connections that hold the most are cut off.
 */
export const clientBytesMax = 256 * 1024 * 1024;

/** The same for all connections that name a member: a hello proves nothing. Members hold some MiB, rarely a large value. */
export const memberBytesMax = 128 * 1024 * 1024;

/** A frame that has begun is looked at every so often (ms)... */
export const frameProgressMs = 5_000;
/** ...and has to have grown by so many bytes: a tenth of what the slowest modem carries. */
export const frameProgressBytesMin = 1024;
/** When so many bytes were let go of for clients, the collector is asked to look: it sees memory of buffers too late. */
export const freedBytesMax = 32 * 1024 * 1024;
/** The same this long (ms) after connections were cut off for what they held: a collection takes some ms. */
export const collectAfterCutMs = 100;

/** Bytes of an output buffer that is kept when empty; larger ones go back: a large value costs no memory for ever. */
export const outputKeptBytesMax = 256 * 1024;

/** A connection that is closing may stand still for so long (ms) before it is cut. */
export const closeGraceMs = 5000;

/** The peer ended its side: so long (ms) may replies to its last requests take. */
export const halfOpenMs = 10_000;

/** Calls of one ClientEnd that wait for a connection or a reply; a call is a few hundred bytes. */
export const pendingCallsMax = 16_384;

/** Deadlines of calls are looked at no more often than this (ms): a call may overrun by as much. */
export const deadlineGrainMs = 5;

/** Accepted connections that said they are clients. Each holds a socket of the system and a few KiB. */
export const clientConnectionsMax = 4096;

/** Accepted connections beyond the clients': peers, and strangers that have yet to say hello. */
export const otherConnectionsMax = 512;

/** Lines that a listener writes about refused and closed connections in so many ms: a flood of strangers fills no disk. */
export const strangerLinesMax = 200;
export const strangerLinesMs = 10_000;

/** Dialling a peer again that could not be reached waits at first so long (ms), then twice as long each time... */
export const backOffMinMs = 20;
/** ...up to this (ms): an absent peer costs one dial a second. Redials without a wait are at least this far apart, too. */
export const backOffMaxMs = 1000;
/**
 * Whoever dials looks so often (ms) whether anything came from the other side, and asks for a sign of life when nothing
 * did. After `silentLooks` looks without a sign the connection counts as silent, and another one is dialled beside it: after
 * 0.6 to 0.8 s, the time of one or two elections, and a sign may take 0.4 s on its way.
 */
export const lookEveryMs = 200;
export const silentLooks = 3;
/** So often (ms) a listener looks at its connections. A sign may take a minute; an idle client costs four frames in it. */
export const guestLookEveryMs = 15_000;
export const guestSilentLooks = 5;
/** A connection whose turn has yet to come is not read from when so much of it waits: bytes, and pieces. */
export const unreadBytesMax = 64 * 1024;
export const unreadChunksMax = 16;

/**
 * While a frame arrives of which there are so many bytes already, signs of life are sent so often (ms): the other side
 * cannot ask for one before it has sent all of the frame.
 */
export const signBytesMin = 16 * 1024;
export const signEveryMs = 200;
/**
 * A dial that is not answered knocks again so often (ms), since the system itself waits longer and longer before it does.
 * So many of its attempts are under way at one time, each with a descriptor: the first one and the newest ones.
 */
export const knockEveryMs = 250;
export const knocksMax = 4;
/**
 * Who keeps a connection for so long, in ms, is no peer that hangs up at once: the back-off begins anew. Less than an
 * election timeout, or links that flap would be away for longer than that, and unseat leaders.
 */
export const steadyMs = 100;
