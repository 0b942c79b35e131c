import { type Address, formatAddress, placeOf } from "../lib/address.ts";
import { serversMax } from "./config.ts";
import { readHost, readPort } from "./scalars.ts";
import type { Mapping } from "./yaml-mapping.ts";

const wantedList = "a list of 1 to 15 servers, each with ip and port";

/**
 * The `servers` of a file. `count` is how many are listed, wrong ones included, and undefined without a list;
 * `servers` is undefined as soon as one is wrong, which then is among the problems.
 */
export function readServers(from: Mapping): { servers: Address[] | undefined; count: number | undefined } {
  const items = from.list("servers", wantedList);
  if (items === undefined) return { servers: undefined, count: undefined };
  if (items.length === 0 || items.length > serversMax)
    from.problems.add(from.lineOf("servers"), from.pathOf("servers"), `${items.length} servers`, wantedList);
  const servers: Address[] = [];
  const keyByAddress = new Map<string, string>();
  for (const item of items) {
    const entry = from.asMapping(item, "a mapping with ip and port");
    if (entry === undefined) continue;
    const address = readAddress(entry);
    if (address === undefined) continue;
    servers.push(address);
    const place = placeOf(address);
    const first = keyByAddress.get(place);
    if (first === undefined) keyByAddress.set(place, item.key);
    else
      from.problems.add(
        item.line,
        item.key,
        formatAddress(address),
        `an address of its own (${first} has this one)`,
      );
  }
  return { servers: servers.length === items.length ? servers : undefined, count: items.length };
}

function readAddress(entry: Mapping): Address | undefined {
  entry.allowOnly(["ip", "port"], { host: "ip", hostname: "ip", address: "ip", addr: "ip", name: "ip" });
  const host = readHost(entry, "ip");
  const port = readPort(entry, "port");
  return host === undefined || port === undefined ? undefined : { host, port };
}
