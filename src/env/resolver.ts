import { Resolver as DnsResolver } from "node:dns";
import { readFileSync } from "node:fs";

/** A question to the resolver, and how often it is repeated: after both it counts as silent. */
const questionMs = 1500;
const questionsMax = 2;
/** When the IPv4 addresses are there, the IPv6 ones may take so much longer (ms). */
const otherKindMs = 50;

/** The addresses of one name, once they are there. Rejects with an error that has a `code`, such as ENOTFOUND. */
export interface Question {
  readonly addresses: Promise<readonly string[]>;
  cancel(): void;
}

/**
 * Asks for the addresses of a name: first /etc/hosts, then the resolvers of /etc/resolv.conf, read anew each time. No thread
 * waits for an answer. The system's own lookup (getaddrinfo) would hold a thread of the pool that writes files, of which
 * there is one for each processor: two names whose resolver is silent stop every sync. The price: other sources that
 * nsswitch.conf may name, as mDNS, are not asked.
 */
export function askResolver(host: string): Question {
  const resolver = new DnsResolver({ timeout: questionMs, tries: questionsMax });
  return { addresses: addressesOf(resolver, host), cancel: () => resolver.cancel() };
}

async function addressesOf(resolver: DnsResolver, host: string): Promise<readonly string[]> {
  const listed = hostsOf(textOf("/etc/hosts"), host);
  if (listed.length > 0) return listed;
  let failure: unknown;
  for (const name of namesToAsk(textOf("/etc/resolv.conf"), host))
    try {
      return await ask(resolver, name);
    } catch (error) {
      failure = error;
      if (!isNoSuchHost(error)) break;
    }
  throw failure;
}

/** The addresses that a hosts file lists for a name. */
export function hostsOf(file: string, host: string): string[] {
  const wanted = host.toLowerCase();
  const lines = file.split("\n").map((line) => line.replace(/#.*/, "").trim().toLowerCase().split(/\s+/));
  return [...new Set(lines.flatMap(([address, ...names]) => (names.includes(wanted) ? [address!] : [])))];
}

/** The names that stand for a host, as resolv.conf(5) says: the search list comes first for one with few dots. */
export function namesToAsk(file: string, host: string): string[] {
  const search = /^(?:search|domain)[ \t]+(.*)$/m.exec(file)?.[1]?.trim() ?? "";
  const domains = search === "" ? [] : search.split(/\s+/);
  const dotsMin = Number(/^options[ \t].*\bndots:(\d+)/m.exec(file)?.[1] ?? 1);
  const inDomains = domains.map((domain) => `${host}.${domain}`);
  const dots = host.split(".").length - 1;
  return dots >= dotsMin ? [host, ...inDomains] : [...inDomains, host];
}

/** Either kind of address is enough, as a resolver may be silent about the other. */
function ask(resolver: DnsResolver, name: string): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    const found: string[] = [];
    const failures: unknown[] = [];
    let openCount = 2;
    const ended = (error: unknown, addresses: readonly string[] | undefined) => {
      openCount--;
      found.push(...(addresses ?? []));
      if (addresses === undefined) failures.push(error);
      if (openCount > 0 && found.length > 0) setTimeout(() => resolve(found), otherKindMs);
      else if (openCount === 0 && found.length > 0) resolve(found);
      else if (openCount === 0) reject(failures.find((failure) => !isNoSuchHost(failure)) ?? failures[0]);
    };
    resolver.resolve4(name, ended);
    resolver.resolve6(name, ended);
  });
}

function isNoSuchHost(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return code === "ENOTFOUND" || code === "ENODATA";
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // A machine without the file has nothing to say there.
    return "";
  }
}
