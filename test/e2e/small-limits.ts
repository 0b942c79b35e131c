/** The log is dropped all the time, and the store flushes and merges all the time: what takes days takes seconds. */
export const smallLimits = {
  keyBytes: 128,
  valueBytes: "64KiB",
  memtableBytes: "256KiB",
  segmentBytes: "128KiB",
  logTailEntries: 200,
  logTailBytes: "64KiB",
} as const;
