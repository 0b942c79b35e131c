/**
 * Ports nobody listens on. They lie below those that the system gives to outgoing connections: a node that is down
 * for a while could otherwise find its port taken by somebody's dial, or that dial even connected to itself.
 */
export function freePorts(count: number): number[] {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    if (!ports.includes(port) && !given.has(port) && isPortFree(port)) ports.push(port);
  }
  for (const port of ports) given.add(port);
  return ports;
}

/** A port is given once in a run, so that what one test left behind never meets the next one. */
const given = new Set<number>();

/** Whether nobody listens on this port of this machine. */
export function isPortFree(port: number): boolean {
  try {
    Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
    return true;
  } catch {
    return false;
  }
}
