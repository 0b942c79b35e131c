/** Run by bun-net.test.ts in a process of its own: the named handler throws, which must end the process. */
import { BunNet } from "../../src/env/bun-net.ts";
import type { Socket, SocketHandler } from "../../src/env/net.ts";

const where = process.argv[2];

function maybeThrow(here: string): void {
  if (here === where) throw new Error(`thrown in ${here}`);
}

function handler(isFar: boolean): SocketHandler {
  return {
    data: () => maybeThrow("data"),
    drain: () => {},
    ended: () => {},
    closed: () => {
      if (isFar) maybeThrow("closed");
    },
  };
}

const net = new BunNet();
const acceptor = net.listen("127.0.0.1", 0, () => {
  maybeThrow("accept");
  return handler(true);
});
const opened = (socket: Socket) => {
  maybeThrow("opened");
  socket.write(new Uint8Array(1));
  setTimeout(() => socket.terminate(), 20);
  return handler(false);
};
net.connect("127.0.0.1", acceptor.port, opened, () => {});
net.connect("127.0.0.1", 1, opened, () => maybeThrow("failed"));
setTimeout(() => process.exit(0), 300);
