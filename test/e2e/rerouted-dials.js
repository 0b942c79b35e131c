// Loaded into a server before its own code (BUN_OPTIONS=--preload): the binary is the one that ships, only its dials go
// elsewhere. Members know each other by the addresses in the log, the same for all; so nothing but this can put a proxy on
// one way between two of them. KVRAFT_TEST_ROUTES names a file of JSON, read at each dial: the port that is dialled by the
// port that was meant.
import { readFileSync } from "node:fs";
import { Socket } from "node:net";

const routesPath = process.env.KVRAFT_TEST_ROUTES;
const { connect } = Socket.prototype;

Socket.prototype.connect = function (port, ...rest) {
  const routes = JSON.parse(readFileSync(routesPath, "utf8"));
  return connect.call(this, routes[port] ?? port, ...rest);
};
