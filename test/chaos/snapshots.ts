/** How many transfers of the state a node has begun, as its log says. */
export function fetchesBegun(log: string): number {
  return [...log.matchAll(/Fetching the state after entry \d+/g)].length;
}

/** How many it has ended, and lived on with. */
export function fetchesDone(log: string): number {
  return [...log.matchAll(/The state after entry \d+ is there/g)].length;
}
