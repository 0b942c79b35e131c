import { parseClientConfig } from "../config/client-config.ts";
import { type ClientConfig, defaultTimeoutMs } from "../config/config.ts";
import { type Address, formatAddress, parseAddress } from "../lib/address.ts";
import { fromUtf8Strict } from "../lib/bytes.ts";
import { KvraftError } from "../lib/error.ts";
import type { Context, Settings } from "./context.ts";

/** Where the servers are, how long a request may take, and who said so. */
export interface Endpoints {
  readonly servers: readonly Address[];
  readonly timeoutMs: number;
  /** For messages: `--endpoints`, `KVRAFT_ENDPOINTS`, a file, or `the default`. */
  readonly source: string;
}

const defaultServers: readonly Address[] = [5001, 5002, 5003].map((port) => ({ host: "127.0.0.1", port }));

/**
 * The first of: --endpoints, KVRAFT_ENDPOINTS, the file of --config, ./kvraft.client.yml, the user's
 * kvraft/client.yml below ~/.config, and 127.0.0.1:5001-5003. The timeout is that of --timeout, or else of the file
 * that was read; the file of --config is read for it even when the servers come from elsewhere.
 */
export async function resolveEndpoints(context: Context, settings: Settings): Promise<Endpoints> {
  const listed = listedEndpoints(context, settings);
  const file =
    listed === undefined || settings.configPath !== undefined
      ? await readConfigFile(context, settings)
      : undefined;
  const timeoutMs = settings.timeoutMs ?? file?.config.timeoutMs ?? defaultTimeoutMs;
  if (listed !== undefined && settings.endpoints === undefined && settings.configPath !== undefined)
    context.stderr.write("kvraft: KVRAFT_ENDPOINTS is set and goes before the servers of --config\n");
  if (listed !== undefined) return { ...listed, timeoutMs };
  if (file !== undefined) return { servers: file.config.servers, timeoutMs, source: file.path };
  return { servers: defaultServers, timeoutMs, source: "the default" };
}

/** `h:p,h:p` as addresses, each once; anything else is a KvraftError (USAGE) that names the source. */
export function parseEndpointList(text: string, source: string): Address[] {
  const byText = new Map<string, Address>();
  for (const part of text.split(",")) {
    const trimmed = part.trim();
    const address = parseAddress(trimmed);
    if (address === undefined)
      throw new KvraftError(
        "USAGE",
        `Cannot use ${source} ${JSON.stringify(text)}: ${JSON.stringify(trimmed)} is no host:port; ` +
          "write it like 127.0.0.1:5001,127.0.0.1:5002 (IPv6 in brackets: [::1]:5001)",
      );
    byText.set(formatAddress(address), address);
  }
  return [...byText.values()];
}

function listedEndpoints(
  context: Context,
  settings: Settings,
): { servers: Address[]; source: string } | undefined {
  const variable = context.environment.KVRAFT_ENDPOINTS;
  const [text, source] =
    settings.endpoints !== undefined ? [settings.endpoints, "--endpoints"] : [variable, "KVRAFT_ENDPOINTS"];
  // An empty variable is how a shell line unsets one; an empty flag is a mistake.
  if (text === undefined || (text === "" && settings.endpoints === undefined)) return undefined;
  return { servers: parseEndpointList(text, source), source };
}

async function readConfigFile(
  context: Context,
  settings: Settings,
): Promise<{ path: string; config: ClientConfig } | undefined> {
  if (settings.configPath !== undefined) {
    const config = await readOne(context, settings.configPath);
    if (config !== undefined) return { path: settings.configPath, config };
    throw new KvraftError(
      "NOT_FOUND",
      `Cannot read the configuration ${JSON.stringify(settings.configPath)}: there is no such file`,
    );
  }
  const userFolder = context.environment.XDG_CONFIG_HOME || `${context.homeDir}/.config`;
  // It is another folder: the file there would not be found, and the command would go to the default servers.
  if (userFolder.includes("\ufffd"))
    throw new KvraftError(
      "USAGE",
      `Cannot look for a configuration below ${JSON.stringify(userFolder)}: XDG_CONFIG_HOME or HOME is no UTF-8 text; ` +
        "set it, or name the servers with --endpoints",
    );
  for (const path of ["kvraft.client.yml", `${userFolder}/kvraft/client.yml`]) {
    const config = await readOne(context, path);
    if (config !== undefined) return { path, config };
  }
  return undefined;
}

async function readOne(context: Context, path: string): Promise<ClientConfig | undefined> {
  const content = await context.readFile(path);
  return content === undefined ? undefined : parseClientConfig(configText(content, path), path);
}

/** The text of a configuration file; what is no UTF-8 is a KvraftError (CONFIG). */
export function configText(content: Uint8Array, path: string): string {
  const text = fromUtf8Strict(content);
  if (text !== undefined) return text;
  throw new KvraftError(
    "CONFIG",
    `Cannot read the configuration ${JSON.stringify(path)}: it is no UTF-8 text`,
  );
}
