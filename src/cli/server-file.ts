import type { ServerConfig } from "../config/config.ts";
import { parseServerConfig } from "../config/server-config.ts";
import { KvraftError } from "../lib/error.ts";
import type { Context } from "./context.ts";
import { configText } from "./endpoints.ts";

/** A server's configuration from its file; its warnings go to stderr. NOT_FOUND when there is none, CONFIG for problems. */
export async function readServerFile(context: Context, path: string): Promise<ServerConfig> {
  const content = await context.readFile(path);
  if (content === undefined)
    throw new KvraftError(
      "NOT_FOUND",
      `Cannot read the configuration ${JSON.stringify(path)}: there is no such file`,
    );
  const { config, warnings } = parseServerConfig(configText(content, path), path);
  for (const warning of warnings) context.stderr.write(`kvraft: warning: ${warning}\n`);
  return config;
}
